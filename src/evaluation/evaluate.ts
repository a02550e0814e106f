/** Measures an adapter at every rank. How text is generated and loss is computed is given: this folder knows no engine. */
import type { QualityPoint } from '../dylora/adapter.ts'
import { agreementPoint, lossPoint, type Measured, metricPoint, perplexityPoint, type Split } from './curve.ts'
import { type MetricName, metrics } from './metrics.ts'
import type { ReferenceGroup } from './references.ts'

export interface EvaluationSet {
  /** The data's name in the curve, for instance `e2e`. */
  readonly name: string
  readonly split: Split
  readonly groups: readonly ReferenceGroup[]
}

/** A metric of the texts against their references, or of their tokens against those of the top rank. */
export type EvaluatedMetric = MetricName | 'token_agreement'

export const evaluatedMetrics = [...Object.keys(metrics), 'token_agreement'] as EvaluatedMetric[]

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
  /** The first is the primary one (default BLEU alone). `token_agreement` wants the top rank among the ranks. */
  readonly metrics?: readonly EvaluatedMetric[]
  /** The tokens of a text, for `token_agreement`. */
  readonly tokens?: (text: string) => readonly number[]
  /** How `generate` decodes; undefined is greedily, up to 100 tokens. */
  readonly decoding?: string | undefined
  /** May `auto` go by these points (default true)? */
  readonly primary?: boolean
  /** Generations under way at once (default 16). Ranks are mixed, so one batch of the engine holds several. */
  readonly concurrency?: number
  readonly seed?: number
  readonly onProgress?: (progress: EvaluationProgress) => void
}

export interface EvaluatedRank {
  readonly set: EvaluationSet
  readonly rank: number
  /** Each on one line. */
  readonly hypotheses: readonly string[]
}

export interface Evaluation {
  readonly points: readonly QualityPoint[]
  readonly outputs: readonly EvaluatedRank[]
}

/** The first metric on the validation split is the primary one: what `auto` reads. Rank 0, the bare base, never is. */
export async function evaluateAdapter(options: EvaluationOptions): Promise<Evaluation> {
  const { datasets, ranks, generate, concurrency, onProgress } = options
  const points: QualityPoint[] = []
  const outputs: EvaluatedRank[] = []
  for (const set of datasets) {
    const texts = await generateTexts(set.groups, ranks, generate, {
      concurrency,
      onProgress: (done, total) => onProgress?.({ set, done, total }),
    })
    const measured = ranks.map((rank, i): EvaluatedRank => ({ set, rank, hypotheses: texts[i] as string[] }))
    outputs.push(...measured)
    for (const one of measured)
      points.push(...metricPoints(one, measured, options), ...(await lossPoints(one, options)))
  }
  return { points, outputs }
}

function metricPoints(
  { set, rank, hypotheses }: EvaluatedRank,
  all: readonly EvaluatedRank[],
  options: EvaluationOptions,
): QualityPoint[] {
  const { metrics: names = ['bleu'], decoding, primary = true, seed = 42 } = options
  const place: Measured = { rank, dataset: set.name, split: set.split, decoding }
  return names.map((name, row) => {
    if (name === 'token_agreement') {
      return agreementPoint(place, tokensOf(hypotheses, options), tokensOf(topOf(all), options), { seed })
    }
    const first = primary && row === 0 && set.split === 'validation' && rank > 0
    return metricPoint(place, name, hypotheses, set.groups, { primary: first, seed })
  })
}

const topOf = (all: readonly EvaluatedRank[]): readonly string[] =>
  all.reduce((top, one) => (one.rank > top.rank ? one : top)).hypotheses

function tokensOf(texts: readonly string[], { tokens }: EvaluationOptions): (readonly number[])[] {
  if (tokens === undefined) throw new TypeError('token_agreement needs tokens')
  return texts.map(tokens)
}

async function lossPoints({ set, rank }: EvaluatedRank, { loss }: EvaluationOptions): Promise<QualityPoint[]> {
  if (loss === undefined) return []
  const { value, n } = await loss(set, rank)
  const point = lossPoint({ rank, dataset: set.name, split: set.split }, value, n)
  return [point, perplexityPoint(point)]
}

interface GenerationOptions {
  readonly concurrency?: number | undefined
  readonly onProgress?: (done: number, total: number) => void
}

/** What every subject (a rank, say) answers to every context, each answer on one line: [subject][instance]. */
export async function generateTexts<Subject>(
  groups: readonly Pick<ReferenceGroup, 'context'>[],
  subjects: readonly Subject[],
  generate: (context: string, subject: Subject) => Promise<string>,
  { concurrency = 16, onProgress }: GenerationOptions = {},
): Promise<string[][]> {
  const texts = subjects.map(() => new Array<string>(groups.length).fill(''))
  const total = groups.length * subjects.length
  let done = 0
  await pool(total, concurrency, async (job) => {
    const instance = Math.floor(job / subjects.length)
    const column = job % subjects.length
    const text = await generate((groups[instance] as ReferenceGroup).context, subjects[column] as Subject)
    ;(texts[column] as string[])[instance] = text.replace(/\s+/g, ' ').trim()
    done += 1
    onProgress?.(done, total)
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
