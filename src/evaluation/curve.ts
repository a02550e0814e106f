/** From measurements to the quality curve that an adapter carries: one point for each rank and metric. */
import type { QualityPoint } from '../dylora/adapter.ts'
import { type BootstrapOptions, confidence95 } from './bootstrap.ts'
import { countsOf, type MetricName, metrics, sumCounts } from './metrics.ts'
import type { ReferenceGroup } from './references.ts'

export type Split = QualityPoint['split']

export interface Measured {
  readonly rank: number
  readonly dataset: string
  readonly split: Split
}

/** The point of a text metric, with its bootstrap interval over the instances. */
export function metricPoint(
  { rank, dataset, split }: Measured,
  metricName: MetricName,
  hypotheses: readonly string[],
  groups: readonly ReferenceGroup[],
  options: BootstrapOptions & { readonly primary: boolean },
): QualityPoint {
  const metric = metrics[metricName]
  const counts = countsOf(
    metric,
    hypotheses,
    groups.map(({ references }) => references),
  )
  return {
    rank,
    dataset,
    split,
    metric: metricName,
    value: metric.combine(sumCounts(counts)),
    ci95: confidence95(counts, metric.combine, options),
    n: groups.length,
    higherIsBetter: metric.higherIsBetter,
    primary: options.primary,
  }
}

/** Mean loss per target token, in nats. It comes with no interval and is never what `auto` reads. */
export function lossPoint({ rank, dataset, split }: Measured, value: number, n: number): QualityPoint {
  return { rank, dataset, split, metric: 'loss', value, ci95: null, n, higherIsBetter: false, primary: false }
}

/**
 * The curve with new points in place of those they repeat, by dataset, split, metric and rank. A split has one primary
 * metric: where the new points bring one, the old points give way.
 */
export function mergeCurve(old: readonly QualityPoint[], fresh: readonly QualityPoint[]): QualityPoint[] {
  const key = ({ dataset, split, metric, rank }: QualityPoint) => JSON.stringify([dataset, split, metric, rank])
  const replaced = new Set(fresh.map(key))
  const claimed = new Set(fresh.filter(({ primary }) => primary).map(({ split }) => split))
  const kept = old.filter((point) => !replaced.has(key(point)))
  return [...kept.map((point) => ({ ...point, primary: point.primary && !claimed.has(point.split) })), ...fresh]
}
