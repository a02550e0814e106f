/** From measurements to the quality curve that an adapter carries: one point for each rank and metric. */
import type { QualityPoint } from '../dylora/adapter.ts'
import { aurac } from './aurac.ts'
import { type BootstrapOptions, confidence95 } from './bootstrap.ts'
import { agreementInstance, agreementOf, perplexity } from './language-model.ts'
import { countsOf, type MetricName, metrics, sumCounts } from './metrics.ts'
import type { ReferenceGroup } from './references.ts'

export type Split = QualityPoint['split']

export interface Measured {
  readonly rank: number
  readonly dataset: string
  readonly split: Split
  /** How the texts were generated; undefined is greedily, up to 100 tokens. */
  readonly decoding?: string | undefined
}

/** The point of a text metric, with its bootstrap interval over the instances. */
export function metricPoint(
  measured: Measured,
  metricName: MetricName,
  hypotheses: readonly string[],
  groups: readonly ReferenceGroup[],
  options: BootstrapOptions & { readonly primary: boolean },
): QualityPoint {
  const metric = metrics[metricName]
  const references = groups.map((group) => group.references)
  const counts = countsOf(metric, hypotheses, references)
  const { primary } = options
  return { ...placeOf(measured), metric: metricName, ...scored(counts, metric, options), primary }
}

/** Which share of the tokens is that of the top rank's texts, position by position. It is never what `auto` reads. */
export function agreementPoint(
  measured: Measured,
  tokens: readonly (readonly number[])[],
  top: readonly (readonly number[])[],
  options: BootstrapOptions,
): QualityPoint {
  const counts = tokens.map((ids, i) => agreementInstance(ids, top[i] as readonly number[]))
  const metric = { combine: agreementOf, higherIsBetter: true }
  return { ...placeOf(measured), metric: 'token_agreement', ...scored(counts, metric, options), primary: false }
}

/** Mean loss per target token, in nats. It comes with no interval and is never what `auto` reads. */
export function lossPoint({ rank, dataset, split }: Measured, value: number, n: number): QualityPoint {
  return { rank, dataset, split, metric: 'loss', value, ci95: null, n, higherIsBetter: false, primary: false }
}

/** The same loss as a perplexity. */
export const perplexityPoint = (loss: QualityPoint): QualityPoint => ({
  ...loss,
  metric: 'perplexity',
  value: perplexity(loss.value),
})

function scored(
  counts: readonly Float64Array[],
  { combine, higherIsBetter }: { combine: (counts: Float64Array) => number; higherIsBetter: boolean },
  options: BootstrapOptions,
) {
  const ci95 = confidence95(counts, combine, options)
  return {
    value: combine(sumCounts(counts)),
    ci95: ci95.every(Number.isFinite) ? ci95 : null,
    n: counts.length,
    higherIsBetter,
  }
}

/** A point says how it was decoded only where that is not the default. */
const placeOf = ({ rank, dataset, split, decoding }: Measured): Measured => ({
  ...{ rank, dataset, split },
  ...(decoding !== undefined && { decoding }),
})

/**
 * The curve with new points in place of those they repeat, by dataset, split, metric, decoding and rank. A split has one
 * primary metric: where the new points bring one, the old points give way.
 */
export function mergeCurve(old: readonly QualityPoint[], fresh: readonly QualityPoint[]): QualityPoint[] {
  const key = ({ dataset, split, metric, decoding, rank }: QualityPoint) =>
    JSON.stringify([dataset, split, metric, decoding, rank])
  const replaced = new Set(fresh.map(key))
  const claimed = new Set(fresh.filter(({ primary }) => primary).map(({ split }) => split))
  const kept = old.filter((point) => !replaced.has(key(point)))
  return [...kept.map((point) => ({ ...point, primary: point.primary && !claimed.has(point.split) })), ...fresh]
}

/** The area under a metric's points over log2 of the rank; null where only the base was measured. */
export function auracOf(points: readonly QualityPoint[], metric: string): number | null {
  const curve = points.filter((point) => point.metric === metric && point.rank > 0)
  return curve.length === 0 ? null : aurac(curve)
}
