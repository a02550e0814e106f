/** What outputs are scored against, and the outputs themselves once they are in the order of their references. */
import { z } from 'zod'
import { errors } from '../../errors.ts'
import { groupByContext, type Pair, type ReferenceGroup } from '../references.ts'
import { columnsOf, delimiterOf, quotedRows, readColumns } from './table.ts'
import { excerpt, invalidLine, linesOf, plainName, readTextFile, type TextFile } from './text-file.ts'

export interface ReferenceSet {
  /** What one output answers, for messages: `distinct MR`. */
  readonly unit: string
  /** The inputs, where the references' file has them. */
  readonly contexts: readonly string[] | null
  /** For each instance at least one that is not blank; blank ones are places that the file left empty. */
  readonly references: readonly (readonly string[])[]
}

/** The set of a file that has inputs: one instance for each distinct one, in the order of first appearance. */
export function byContext(unit: string, pairs: Iterable<Pair>): ReferenceSet {
  const groups = groupByContext(pairs)
  return {
    unit,
    contexts: groups.map(({ context }: ReferenceGroup) => context),
    references: groups.map(({ references }) => references),
  }
}

/** Outputs in the order of the references. */
export interface Outputs {
  readonly set: ReferenceSet
  readonly hypotheses: readonly string[]
}

/** One output of a system, and what it answers where the file says so. */
interface Output {
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

/**
 * Reads a system's outputs: one a line, in the order of the references, or TSV, CSV and JSON lines that may name the
 * inputs and then come in any order. An empty line is an empty output. Where the references can be counted in several
 * ways, the set with as many instances as there are outputs is taken. Throws `dataset_invalid` for other counts.
 */
export async function readOutputs(file: string, sets: readonly [ReferenceSet, ...ReferenceSet[]]): Promise<Outputs> {
  const source = await readTextFile(file)
  const outputs = outputsOf(source)
  if (outputs.length === 0)
    throw errors.datasetInvalid(file, `expected outputs, one for each ${sets[0].unit}, got none`)
  const inputs = sets.find(({ contexts }) => contexts !== null)
  if (inputs && outputs.every(({ context }) => context !== null)) {
    return { set: inputs, hypotheses: byInput(file, outputs, inputs) }
  }
  for (const set of sets) {
    const hypotheses = inOrder(outputs, set)
    if (hypotheses !== null) return { set, hypotheses }
  }
  const wanted = sets.map(({ unit, references }) => `${references.length} (one for each ${unit})`).join(' or ')
  throw errors.datasetInvalid(file, `expected ${wanted} outputs, got ${outputs.length}`, {
    expected: sets[0].references.length,
    got: outputs.length,
  })
}

function outputsOf(source: TextFile): Output[] {
  if (/\.jsonl$/i.test(plainName(source.file))) return jsonOutputs(source)
  const rows = hasOutputHeader(source) ? quotedRows(source, delimiterOf(source)) : null
  if (rows === null) return linesOf(source.text).map((text, i) => ({ line: i + 1, context: null, text }))
  const header = rows[0]?.fields ?? []
  if (columnsOf(header, inputColumn) === null && columnsOf(header, textColumn) !== null) {
    return readColumns(source, rows, textColumn).map(({ line, values }) => ({ line, context: null, ...values }))
  }
  return readColumns(source, rows, outputColumns).map(({ line, values }) => ({ line, ...values }))
}

/** A name of a table promises a header; any other file is a table where its first line is one. */
function hasOutputHeader(source: TextFile): boolean {
  if (/\.(csv|tsv)$/i.test(plainName(source.file))) return true
  const first = { file: source.file, text: linesOf(source.text)[0] ?? '' }
  return (
    columnsOf(
      first.text.split(delimiterOf(first)).map((name) => name.replaceAll('"', '')),
      outputColumns,
    ) !== null
  )
}

function jsonOutputs({ file, text }: TextFile): Output[] {
  return linesOf(text).flatMap((json, i) => {
    if (json.trim() === '') return []
    const parsed = JsonOutput.safeParse(parseJson(file, i + 1, json))
    if (!parsed.success || parsed.data.text === undefined) {
      throw invalidLine(file, i + 1, `expected a string or an object with an output, got '${excerpt(json)}'`)
    }
    return [{ line: i + 1, context: parsed.data.context, text: parsed.data.text }]
  })
}

function parseJson(file: string, line: number, json: string): unknown {
  try {
    return JSON.parse(json)
  } catch (error) {
    throw invalidLine(file, line, error instanceof Error ? error.message : String(error))
  }
}

/** Null where the number is another. Blank lines after the last output are no outputs. */
function inOrder(outputs: readonly Output[], { references }: ReferenceSet): string[] | null {
  const rest = outputs.slice(references.length)
  if (outputs.length < references.length || rest.some(({ text }) => text.trim() !== '')) return null
  return outputs.slice(0, references.length).map(({ text }) => text)
}

const inputKey = (context: string) => context.replace(/\s+/g, ' ').trim()

/** The outputs by what they answer; an answer may be given again, but not another one. */
function byInput(file: string, outputs: readonly Output[], { contexts, unit }: ReferenceSet): string[] {
  const known = new Set(contexts?.map(inputKey))
  const answers = new Map<string, Output>()
  for (const output of outputs) {
    const key = inputKey(output.context ?? '')
    const earlier = answers.get(key)
    if (!known.has(key)) {
      throw invalidLine(file, output.line, `expected a ${unit} of the references, got '${excerpt(key)}'`)
    }
    if (earlier !== undefined && earlier.text !== output.text) {
      const reason = `expected one output for each ${unit}, got another than in line ${earlier.line}`
      throw invalidLine(file, output.line, `${reason} for '${excerpt(key)}'`)
    }
    answers.set(key, earlier ?? output)
  }
  return (contexts ?? []).map((context) => {
    const answer = answers.get(inputKey(context))
    if (answer === undefined) {
      throw errors.datasetInvalid(file, `expected an output for each ${unit}, got none for '${excerpt(context)}'`)
    }
    return answer.text
  })
}
