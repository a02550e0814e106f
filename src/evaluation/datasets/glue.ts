/** The GLUE tasks: the columns of their files, their labels, and predictions as the benchmark takes them. */
import { z } from 'zod'
import { errors } from '../../errors.ts'
import type { LabelMetricName } from '../label-metrics.ts'
import { type ColumnNames, plainRows, quotedRows, type Row, readColumns } from './table.ts'
import { excerpt, invalidLine, linesOf, plainName, readTextFile, type TextFile } from './text-file.ts'

interface GlueTaskRow {
  /** The texts of an example, by the names that converted files have, and the columns of the official ones. */
  readonly texts: Readonly<Record<string, ColumnNames>>
  readonly label: ColumnNames
  /** The place of each column in a file without a header. */
  readonly positions?: Readonly<Record<string, number>>
  /** The names of the classes by number; null where a score is predicted. */
  readonly classes: readonly string[] | null
  /** The official metrics. */
  readonly metrics: readonly LabelMetricName[]
  /** Rows that lack columns are known in the official file, and everyone leaves them out. */
  readonly shortRows?: 'left out'
}

const sentences = { sentence1: ['sentence1'], sentence2: ['sentence2'] } as const
const binary = ['0', '1'] as const
const entailment = ['entailment', 'not_entailment'] as const

// biome-ignore format: reads as a table
export const glueTasks = {
  cola: { texts: { sentence: ['sentence'] }, label: ['label'], positions: { label: 1, sentence: 3 }, classes: binary, metrics: ['matthews'] },
  sst2: { texts: { sentence: ['sentence'] }, label: ['label'], classes: binary, metrics: ['accuracy'] },
  mrpc: { texts: { sentence1: ['#1 String'], sentence2: ['#2 String'] }, label: ['Quality'], classes: binary, metrics: ['accuracy', 'f1'] },
  stsb: { texts: sentences, label: ['score'], positions: { sentence1: 0, sentence2: 1, label: 2 }, classes: null, metrics: ['pearson', 'spearman'] },
  qqp:  { texts: { sentence1: ['question1'], sentence2: ['question2'] }, label: ['is_duplicate'], classes: binary, metrics: ['accuracy', 'f1'], shortRows: 'left out' },
  mnli: { texts: sentences, label: ['gold_label'], classes: ['entailment', 'neutral', 'contradiction'], metrics: ['accuracy'] },
  qnli: { texts: { sentence1: ['question'], sentence2: ['sentence'] }, label: ['label'], classes: entailment, metrics: ['accuracy'] },
  rte:  { texts: sentences, label: ['label'], classes: entailment, metrics: ['accuracy'] },
} as const satisfies Record<string, GlueTaskRow>

export type GlueTask = keyof typeof glueTasks

/** An example as converted files have it: `{sentence | sentence1, sentence2, label}`, the label a class number or a score. */
export type GlueExample = Readonly<Record<string, string | number>> & { readonly label: number }

/** Reads a task's official file with labels (TSV, of STS-B also CSV without a header), or converted JSON lines. */
export async function readGlueExamples(task: GlueTask, file: string): Promise<GlueExample[]> {
  const source = await readTextFile(file)
  const examples = /\.jsonl$/i.test(plainName(file)) ? jsonExamples(task, source) : tableExamples(task, source)
  if (examples.length === 0) throw errors.datasetInvalid(file, 'expected labelled examples, got none')
  return examples
}

export function tableExamples(task: GlueTask, source: TextFile): GlueExample[] {
  const row: GlueTaskRow = glueTasks[task]
  return glueRows(row, source).map(({ line, values }) => {
    const { label = '', ...texts } = values
    return { ...texts, label: labelOf(row, label, (reason) => invalidLine(source.file, line, reason)) }
  })
}

type Values = readonly { readonly line: number; readonly values: Readonly<Record<string, string>> }[]

function glueRows(task: GlueTaskRow, source: TextFile): Values {
  const rows = /\.csv$/i.test(plainName(source.file)) ? quotedRows(source, ',') : plainRows(source)
  const names: Readonly<Record<string, ColumnNames>> = { ...task.texts, label: task.label }
  const width = rows[0]?.fields.length ?? 0
  const kept = task.shortRows ? rows.filter(({ fields }) => fields.length >= width) : rows
  const bare = task.positions && rows[0] && isBare(task, rows[0]) ? task.positions : null
  return bare ? kept.map((row) => byPosition(source.file, row, bare)) : readColumns(source, kept, names)
}

/** Where a header may be lacking, a first row with a label instead of a name is no header. */
function isBare({ positions, classes }: GlueTaskRow, { fields }: Row): boolean {
  const label = fields[positions?.label ?? 0] ?? ''
  return classes === null ? label.trim() !== '' && Number.isFinite(Number(label)) : classes.includes(label)
}

function byPosition(file: string, { line, fields }: Row, positions: Readonly<Record<string, number>>) {
  const values = Object.entries(positions).map(([name, at]) => [name, fields[at]])
  if (values.some(([, value]) => value === undefined)) {
    const least = Math.max(...Object.values(positions)) + 1
    throw invalidLine(file, line, `expected at least ${least} columns, got ${fields.length}`)
  }
  return { line, values: Object.fromEntries(values) as Readonly<Record<string, string>> }
}

function jsonExamples(task: GlueTask, { file, text }: TextFile): GlueExample[] {
  const row: GlueTaskRow = glueTasks[task]
  const Example = z.object({
    ...Object.fromEntries(Object.keys(row.texts).map((name) => [name, z.string().default('')])),
    label: z.union([z.number(), z.string()]),
  })
  return linesOf(text).flatMap((json, i) => {
    if (json.trim() === '') return []
    const fail = (reason: string) => invalidLine(file, i + 1, reason)
    const parsed = Example.safeParse(parseJson(json, fail))
    if (!parsed.success) throw fail(`expected {"label"}, got '${excerpt(json)}'`)
    return [{ ...parsed.data, label: labelOf(row, String(parsed.data.label), fail) }]
  })
}

function parseJson(json: string, fail: (reason: string) => Error): unknown {
  try {
    return JSON.parse(json)
  } catch (error) {
    throw fail(error instanceof Error ? error.message : String(error))
  }
}

/** A class by its name or number, a score as a number. */
function labelOf({ classes }: GlueTaskRow, text: string, fail: (reason: string) => Error): number {
  const label = text.trim()
  if (classes === null) {
    const score = label === '' ? Number.NaN : Number(label)
    if (!Number.isFinite(score)) throw fail(`expected a number, got '${excerpt(label)}'`)
    return score
  }
  const named = classes.indexOf(label)
  const numbered = /^\d+(\.0+)?$/.test(label) ? Number(label) : -1
  const found = named >= 0 ? named : numbered
  if (found >= 0 && found < classes.length) return found
  const numbers = classes.map((_, i) => `${i}`)
  const known = [...new Set([...classes, ...numbers])].join(', ')
  throw fail(`expected one of ${known}, got '${excerpt(label)}'`)
}

const predictionColumns = { index: ['index', 'idx', 'id'], prediction: ['prediction', 'pred', 'label'] } as const

/**
 * Reads predictions as the benchmark takes them: TSV of `index` and `prediction`, index from 0, in any order; classes by
 * name or by number. Throws `dataset_invalid` naming the line of what is missing, comes twice or is no label.
 */
export async function readPredictions(task: GlueTask, file: string, count: number): Promise<Float64Array> {
  const source = await readTextFile(file)
  if (source.text.trim() === '') throw errors.datasetInvalid(file, `expected ${count} predictions, got an empty file`)
  const row: GlueTaskRow = glueTasks[task]
  const rows = readColumns(source, tableOf(source), predictionColumns)
  const lines = new Map<number, number>()
  const predictions = new Float64Array(count)
  for (const { line, values } of rows) {
    const fail = (reason: string) => invalidLine(file, line, reason)
    const index = indexOf(values.index, rows.length === count ? count : Number.POSITIVE_INFINITY, fail)
    if (lines.has(index)) throw fail(`expected each index once, got ${index} again (first in line ${lines.get(index)})`)
    lines.set(index, line)
    const label = labelOf(row, values.prediction, fail)
    if (index < count) predictions[index] = label
  }
  if (rows.length !== count) {
    throw errors.datasetInvalid(file, `expected ${count} predictions, got ${rows.length}`, {
      expected: count,
      got: rows.length,
    })
  }
  return predictions
}

const tableOf = (source: TextFile) =>
  /\.csv$/i.test(plainName(source.file)) ? quotedRows(source, ',') : plainRows(source)

function indexOf(text: string, count: number, fail: (reason: string) => Error): number {
  const index = /^\d{1,9}$/.test(text.trim()) ? Number(text) : Number.NaN
  if (!(index < count)) {
    const range = Number.isFinite(count) ? ` to ${count - 1}` : ''
    throw fail(`expected an index from 0${range}, got '${excerpt(text)}'`)
  }
  return index
}
