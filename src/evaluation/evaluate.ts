/** Measures an adapter at every rank. How text is generated and loss is computed is given: this folder knows no engine. */
import type { QualityPoint } from '../dylora/adapter.ts'
import { lossPoint, metricPoint, type Split } from './curve.ts'
import type { MetricName } from './metrics.ts'
import type { ReferenceGroup } from './references.ts'

export interface EvaluationSet {
  /** The data's name in the curve, for instance `e2e`. */
  readonly name: string
  readonly split: Split
  readonly groups: readonly ReferenceGroup[]
}

export type Generate = (context: string, rank: number) => Promise<string>

/** Mean loss per target token over the set at this rank, in nats, and over how many examples. */
export type MeasureLoss = (set: EvaluationSet, rank: number) => Promise<{ readonly value: number; readonly n: number }>

export interface EvaluationProgress {
  readonly set: EvaluationSet
  readonly done: number
  readonly total: number
}

export interface EvaluationOptions {
  readonly ranks: readonly number[]
  readonly datasets: readonly EvaluationSet[]
  readonly generate: Generate
  readonly loss?: MeasureLoss
  readonly metrics?: readonly MetricName[]
  /** Generations under way at once (default 16). Ranks are mixed, so one batch of the engine holds several. */
  readonly concurrency?: number
  readonly seed?: number
  readonly onProgress?: (progress: EvaluationProgress) => void
}

export interface EvaluatedRank {
  readonly set: EvaluationSet
  readonly rank: number
  readonly hypotheses: readonly string[]
}

export interface Evaluation {
  readonly points: readonly QualityPoint[]
  readonly outputs: readonly EvaluatedRank[]
}

/** The first metric on the validation split is the primary one: what `auto` reads. Rank 0, the bare base, never is. */
export async function evaluateAdapter(options: EvaluationOptions): Promise<Evaluation> {
  const { ranks, datasets, loss, seed = 42, metrics: names = ['bleu'] } = options
  const points: QualityPoint[] = []
  const outputs: EvaluatedRank[] = []
  for (const set of datasets) {
    const texts = await generateAll(set, options)
    for (const [i, rank] of ranks.entries()) {
      const hypotheses = texts[i] as readonly string[]
      const measured = { rank, dataset: set.name, split: set.split }
      outputs.push({ set, rank, hypotheses })
      for (const [row, name] of names.entries()) {
        const primary = row === 0 && set.split === 'validation' && rank > 0
        points.push(metricPoint(measured, name, hypotheses, set.groups, { primary, seed }))
      }
      if (loss === undefined) continue
      const { value, n } = await loss(set, rank)
      points.push(lossPoint(measured, value, n))
    }
  }
  return { points, outputs }
}

/** The outputs, [rank][instance]. */
async function generateAll(set: EvaluationSet, options: EvaluationOptions): Promise<string[][]> {
  const { ranks, generate, concurrency = 16, onProgress } = options
  const texts = ranks.map(() => new Array<string>(set.groups.length).fill(''))
  const total = set.groups.length * ranks.length
  let done = 0
  await pool(total, concurrency, async (job) => {
    const instance = Math.floor(job / ranks.length)
    const column = job % ranks.length
    const { context } = set.groups[instance] as ReferenceGroup
    const text = await generate(context, ranks[column] as number)
    ;(texts[column] as string[])[instance] = text.trim()
    done += 1
    onProgress?.({ set, done, total })
  })
  return texts
}

/** Runs jobs 0..count-1, at most `width` at once. The first failure stops the rest and is thrown. */
async function pool(count: number, width: number, run: (job: number) => Promise<void>): Promise<void> {
  let next = 0
  const lane = async () => {
    while (next < count) {
      const job = next
      next += 1
      try {
        await run(job)
      } catch (error) {
        next = count
        throw error
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(width, count) }, lane))
}
