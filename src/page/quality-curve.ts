/** An adapter's quality points as curves to choose from. */
import type { Adapter, Quality, Rank } from './api.ts'
import { formatValue, metricName } from './format.ts'

/** What makes points comparable over ranks. */
export interface Measurement {
  readonly key: string
  readonly metric: string
  readonly dataset: string
  readonly split: string
  readonly decoding: string
  readonly higherIsBetter: boolean
  readonly primary: boolean
}

type Point = Omit<Quality, 'primary'>

const keyOf = ({ metric, dataset, split, decoding = '' }: Point): string =>
  JSON.stringify([dataset, split, metric, decoding])

/** Those that the adapter carries, what `auto` reads first. */
export function measurementsOf({ ranks }: Pick<Adapter, 'ranks'>): Measurement[] {
  const found = new Map<string, Measurement>()
  for (const point of ranks.flatMap(({ quality }) => quality)) {
    const { metric, dataset, split, decoding = '', higher_is_better: higherIsBetter, primary } = point
    const key = keyOf(point)
    const seen = found.get(key)?.primary ?? false
    found.set(key, { key, metric, dataset, split, decoding, higherIsBetter, primary: primary || seen })
  }
  const order = ({ primary, split }: Measurement) => (primary && split === 'validation' ? 0 : 1)
  return [...found.values()].sort((a, b) => order(a) - order(b))
}

export const measurementName = ({ metric, dataset, split, decoding }: Measurement): string =>
  `${metricName(metric)} · ${dataset}, ${split}${decoding === '' ? '' : ` · ${decoding}`}`

export const pointAt = (rank: Rank | undefined, key: string): Quality | undefined =>
  rank?.quality.find((point) => keyOf(point) === key)

export const baselineAt = (rank: Rank | undefined, key: string) => rank?.baselines.find((point) => keyOf(point) === key)

/** Why `auto` takes what it does not take for its quality. */
const otherReasons: Readonly<Record<string, string>> = {
  no_curve: 'the highest: this adapter carries no validation curve',
  max_rank: 'the highest that its operator allows here',
}

/** Why `auto` takes the rank that it takes, in a sentence. */
export function autoSentence(adapter: Adapter, minQuality: number): string {
  const { auto, ranks } = adapter
  if (auto === null) return ''
  const otherwise = otherReasons[auto.reason]
  if (otherwise !== undefined) return `auto takes rank ${auto.rank}, ${otherwise}.`
  const primary = measurementsOf(adapter).find(({ primary: reads, split }) => reads && split === 'validation')
  if (primary === undefined) return `auto takes rank ${auto.rank}.`
  const points = ranks.filter(({ rank }) => rank > 0).flatMap((rank) => pointAt(rank, primary.key) ?? [])
  const values = points.map(({ value }) => value)
  const best = primary.higherIsBetter ? Math.max(...values) : Math.min(...values)
  const taken = pointAt(
    ranks.find(({ rank }) => rank === auto.rank),
    primary.key,
  )
  return (
    `auto takes rank ${auto.rank}: the smallest whose ${metricName(primary.metric)} on ${primary.dataset} ` +
    `(${primary.split}), ${taken ? formatValue(taken.value) : '?'}, is within ${+(100 * minQuality).toFixed(2)}\u00a0% of the best, ` +
    `${formatValue(best)}.`
  )
}

/** What the operator says of its ranks, in a sentence; empty where that is nothing. */
export function policySentence({
  policy: { default_rank: byDefault, max_rank: highest },
}: Pick<Adapter, 'policy'>): string {
  const said = [
    ...(byDefault === undefined ? [] : [`a request that names no rank gets ${byDefault}`]),
    ...(highest === undefined ? [] : [`no rank above ${highest} is served`]),
  ]
  return said.length === 0 ? '' : ` By its policy, ${said.join(', and ')}.`
}
