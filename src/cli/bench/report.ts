/** What benchmarks print: machine and versions first, then tables and goals, or everything as JSON. */
import { createRequire } from 'node:module'
import { arch, availableParallelism, cpus, platform, totalmem } from 'node:os'
import { z } from 'zod'

const Row = z.record(z.string(), z.union([z.string(), z.number()]))
export type Row = z.infer<typeof Row>

const Table = z.object({
  title: z.string(),
  /** How it was measured, and in which units. */
  note: z.string(),
  rows: z.array(Row),
})
export type Table = z.infer<typeof Table>

const Goal = z.object({ goal: z.string(), wanted: z.string(), got: z.string(), met: z.boolean() })
export type Goal = z.infer<typeof Goal>

export interface Findings {
  readonly tables: readonly Table[]
  readonly goals?: readonly Goal[]
}

/** What `--json` gives, and docs/benchmarks.md is made of. */
export const BenchRun = z.object({
  benchmark: z.string(),
  date: z.string(),
  machine: z.record(z.string(), z.union([z.string(), z.number()])),
  settings: z.record(z.string(), z.union([z.string(), z.number()])),
  tables: z.array(Table),
  goals: z.array(Goal),
})
export type BenchRun = z.infer<typeof BenchRun>

/** The value below which that share of the values lies, between two of them in proportion. NaN of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const place = (sorted.length - 1) * share
  const [below, above] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]]
  if (below === undefined || above === undefined) return Number.NaN
  return below + (above - below) * (place - Math.floor(place))
}

export const median = (values: readonly number[]): number => quantile(values, 0.5)

/** p50, p90 and p99 under names that say the unit. */
export const spreadOf = (values: readonly number[], unit: string): Record<string, number> => ({
  [`p50 ${unit}`]: quantile(values, 0.5),
  [`p90 ${unit}`]: quantile(values, 0.9),
  [`p99 ${unit}`]: quantile(values, 0.99),
})

/** A ratio that must not be below what is wanted. */
export const atLeast = (goal: string, wanted: number, got: number): Goal => ({
  ...{ goal, wanted: `at least ${wanted}`, got: got.toFixed(3), met: got >= wanted },
})

/** A ratio, or a number of a unit, that must not be above what is wanted. */
export const atMost = (goal: string, wanted: number, got: number, unit = ''): Goal => ({
  ...{ goal, wanted: `at most ${wanted}${unit}`, got: `${got.toFixed(3)}${unit}`, met: got <= wanted },
})

export function machine(): Readonly<Record<string, string | number>> {
  const require = createRequire(import.meta.url)
  const version = (name: string) => (require(`${name}/package.json`) as { version: string }).version
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${platform()} ${arch()}`,
    node: process.version,
    onnxruntime: version('onnxruntime-node'),
  }
}

const cell = (value: string | number | undefined): string => {
  if (typeof value !== 'number') return value ?? ''
  return Number.isInteger(value) || Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2)
}

/** A Markdown table; the columns are the keys of the first row. */
export function markdownTable(rows: readonly Readonly<Row>[]): string {
  const columns = Object.keys(rows[0] ?? {})
  const cells = [columns, ...rows.map((row) => columns.map((column) => cell(row[column])))]
  const widths = columns.map((_, i) => Math.max(...cells.map((row) => row[i]!.length)))
  const line = (row: readonly string[]) => `| ${row.map((text, i) => text.padEnd(widths[i]!)).join(' | ')} |`
  return [
    line(columns),
    `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`,
    ...cells.slice(1).map(line),
  ].join('\n')
}

export const goalRows = (goals: readonly Goal[]): Row[] =>
  goals.map((goal) => ({ ...goal, met: goal.met ? 'yes' : 'NO' }))

export const factsOf = (facts: BenchRun['machine']): string =>
  Object.entries(facts)
    .map(([key, value]) => `${key} ${value}`)
    .join(', ')

export function runOf(name: string, settings: BenchRun['settings'], { tables, goals = [] }: Findings): BenchRun {
  return {
    ...{ benchmark: name, date: new Date().toISOString().slice(0, 10), machine: { ...machine() }, settings },
    ...{ tables: [...tables], goals: [...goals] },
  }
}

export function report(run: BenchRun, asJson: boolean): string {
  if (asJson) return JSON.stringify(run, null, 2)
  const tables = run.tables.flatMap(({ title, note, rows }) => ['', `${title}: ${note}`, '', markdownTable(rows)])
  const goals = run.goals.length === 0 ? [] : ['', 'Goals:', '', markdownTable(goalRows(run.goals))]
  return [`${run.benchmark}: ${factsOf(run.machine)}, ${factsOf(run.settings)}`, ...tables, ...goals].join('\n')
}
