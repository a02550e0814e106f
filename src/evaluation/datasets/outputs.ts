/** The outputs of a system, from text, tables and JSON. */
import { z } from 'zod'
import { errors } from '../../errors.ts'
import { columnsOf, delimiterOf, quotedRows, readColumns } from './table.ts'
import { excerpt, invalidLine, linesOf, plainName, type TextFile } from './text-file.ts'

/** One output of a system, and what it answers where the file says so. */
export interface Output {
  /** Where it is, from 1: its line, or its place in a JSON array. */
  readonly line: number
  readonly context: string | null
  readonly text: string
}

/** Columns of system outputs as the E2E challenge has them; of the inputs there may be none. */
const inputColumn = { context: ['MR', 'source', 'src', 'input', 'meaning_representation', 'context'] } as const
const textColumn = {
  text: ['output', 'system output', 'hypothesis', 'hyp', 'prediction', 'sys', 'text', 'ref'],
} as const
const outputColumns = { ...inputColumn, ...textColumn } as const

const JsonOutput = z.union([
  z.string().transform((text) => ({ context: null, text })),
  z
    .object({
      context: z.string().optional(),
      mr: z.string().optional(),
      output: z.string().optional(),
      hypothesis: z.string().optional(),
      hyp: z.string().optional(),
      prediction: z.string().optional(),
      completion: z.string().optional(),
    })
    .transform(({ context, mr, output, hypothesis, hyp, prediction, completion }) => ({
      context: context ?? mr ?? null,
      text: output ?? hypothesis ?? hyp ?? prediction ?? completion,
    })),
])

/** Reads one output a line, CSV or TSV with a header, JSON lines, or a JSON array. An empty line is an empty output. */
export function outputsOf(source: TextFile): Output[] {
  const name = plainName(source.file).toLowerCase()
  if (name.endsWith('.jsonl')) return jsonLineOutputs(source)
  if (name.endsWith('.json')) return jsonArrayOutputs(source)
  return hasOutputHeader(source)
    ? tableOutputs(source)
    : linesOf(source.text).map((text, i) => ({ line: i + 1, context: null, text }))
}

/** A name of a table promises a header; any other file is a table where its first line is one. */
function hasOutputHeader(source: TextFile): boolean {
  if (/\.(csv|tsv)$/i.test(plainName(source.file))) return true
  const first = { file: source.file, text: linesOf(source.text)[0] ?? '' }
  const names = first.text.split(delimiterOf(first)).map((name) => name.replaceAll('"', ''))
  return columnsOf(names, outputColumns) !== null
}

function tableOutputs(source: TextFile): Output[] {
  const rows = quotedRows(source, delimiterOf(source))
  const header = rows[0]?.fields ?? []
  if (columnsOf(header, inputColumn) === null && columnsOf(header, textColumn) !== null) {
    return readColumns(source, rows, textColumn).map(({ line, values }) => ({ line, context: null, ...values }))
  }
  return readColumns(source, rows, outputColumns).map(({ line, values }) => ({ line, ...values }))
}

function jsonLineOutputs({ file, text }: TextFile): Output[] {
  return linesOf(text).flatMap((json, i) => {
    if (json.trim() === '') return []
    const fail = (reason: string) => invalidLine(file, i + 1, reason)
    return [jsonOutput(parseJson(json, fail), i + 1, fail)]
  })
}

function jsonArrayOutputs({ file, text }: TextFile): Output[] {
  const items = parseJson(text, (reason) => errors.datasetInvalid(file, reason))
  if (!Array.isArray(items)) throw errors.datasetInvalid(file, 'expected a JSON array of outputs')
  return items.map((item, i) =>
    jsonOutput(item, i + 1, (reason) => errors.datasetInvalid(file, `item ${i + 1}: ${reason}`)),
  )
}

type Fail = (reason: string) => Error

function jsonOutput(item: unknown, line: number, fail: Fail): Output {
  const { data } = JsonOutput.safeParse(item)
  if (data?.text === undefined) {
    throw fail(`expected a string or an object with an output, got '${excerpt(JSON.stringify(item))}'`)
  }
  return { line, context: data.context, text: data.text }
}

function parseJson(json: string, fail: Fail): unknown {
  try {
    return JSON.parse(json)
  } catch (error) {
    throw fail(error instanceof Error ? error.message : String(error))
  }
}
