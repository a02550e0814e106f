/** `dylora score`: what the official script of a task would print, from the files that it takes. */
import { errors } from '../errors.ts'
import { interval95, type PairedComparison, pairedComparison } from '../evaluation/bootstrap.ts'
import type { Measurement } from '../evaluation/tasks.ts'
import { parseScoreOptions, type ScoreOptions, scoreHelp } from './score-options.ts'

interface Score {
  readonly name: string
  readonly value: number
  readonly ci95: readonly [number, number] | null
  readonly against: (PairedComparison & { readonly value: number }) | null
}

export async function run(args: string[]): Promise<number> {
  const options = parseScoreOptions(args)
  if (options === null) {
    console.log(scoreHelp())
    return 0
  }
  const measure = await options.task.open(options.references)
  const system = await measure(options.hypotheses)
  const other = options.against === undefined ? null : await measure(options.against)
  const scores = chosen(system, options).map((measurement) => {
    const same = other?.find(({ name }) => name === measurement.name)
    return scoreOf(measurement, same ?? null, options)
  })
  for (const line of options.json ? [JSON.stringify(asObject(scores))] : table(scores)) console.log(line)
  return 0
}

function chosen(all: readonly Measurement[], { metrics, taskName }: ScoreOptions): readonly Measurement[] {
  if (metrics === undefined) return all
  const known = all.map(({ name }) => name)
  const unknown = metrics.find((name) => !known.includes(name))
  if (unknown === undefined) return all.filter(({ name }) => metrics.includes(name))
  throw errors.validation(`--metrics: expected names of ${known.join(', ')} for ${taskName}, got '${unknown}'`)
}

function scoreOf(measured: Measurement, other: Measurement | null, { bootstrap, seed }: ScoreOptions): Score {
  const { name, size, higherIsBetter } = measured
  const drawn = { resamples: bootstrap, seed }
  const intervals = bootstrap > 0
  return {
    name,
    value: measured.scoreOf(),
    ci95: intervals ? interval95(size, measured.scoreOf, drawn) : null,
    against: other && {
      value: other.scoreOf(),
      ...pairedComparison(size, measured.scoreOf, other.scoreOf, { ...drawn, higherIsBetter }),
    },
  }
}

/** Unrounded; what is not defined is null. */
function asObject(scores: readonly Score[]): object {
  const picked = <Value>(value: (score: Score) => Value | null) => {
    const entries = scores.map((score) => [score.name, value(score)] as const).filter(([, found]) => found !== null)
    return entries.length > 0 ? Object.fromEntries(entries) : undefined
  }
  const values = Object.fromEntries(scores.map(({ name, value }) => [name, value]))
  return { ...values, ci95: picked(({ ci95 }) => ci95), against: picked(({ against }) => against) }
}

function table(scores: readonly Score[]): string[] {
  const width = Math.max(...scores.map(({ name }) => name.length))
  return scores.map(({ name, value, ci95, against }) => {
    const cells = [`${name.padEnd(width)}  ${rounded(value).padStart(8)}`, interval(ci95)]
    if (against !== null) {
      const sign = against.difference > 0 ? '+' : ''
      cells.push(`against ${rounded(against.value)}: ${sign}${rounded(against.difference)}`, interval(against.ci95))
      cells.push(`p ${against.pValue.toFixed(3)}`)
    }
    return cells.filter((cell) => cell !== '').join('  ')
  })
}

const rounded = (value: number) => (Number.isNaN(value) ? 'undefined' : value.toFixed(4))
const interval = (ci95: readonly [number, number] | null) => (ci95 ? `[${ci95.map(rounded).join(', ')}]` : '')
