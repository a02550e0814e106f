/** Which rank serves a request, and why: never a silent clamp. */
import type { Adapter, QualityPoint } from '../dylora/adapter.ts'
import { errors } from '../errors.ts'
import type { RankReason, RankRequest } from './request.ts'

export interface RankDecision {
  readonly rank: number
  readonly reason: RankReason
  /** What was asked for; leaving it out is asking for `max`. */
  readonly requested: RankRequest
}

/** What the decision rests on. */
export type RankedAdapter = Pick<Adapter, 'ranks' | 'maxRank' | 'quality'>

const defaultMinQuality = 0.99

/**
 * `adapter` null is the bare base model, which has no rank to choose. Throws `rank_not_allowed` for a rank that the
 * adapter was not trained at, `validation` for a `minQuality` outside (0, 1].
 */
export function resolveRank(
  adapter: RankedAdapter | null,
  requested: RankRequest | undefined,
  minQuality?: number,
): RankDecision {
  const share = checkMinQuality(minQuality)
  if (requested === 0) return { rank: 0, reason: 'base', requested: 0 }
  if (adapter === null) return baseOnly(requested)
  if (requested === undefined) return { rank: adapter.maxRank, reason: 'default', requested: 'max' }
  if (requested === 'max') return { rank: adapter.maxRank, reason: 'max', requested }
  if (requested === 'auto') return cheapestGoodRank(adapter, share)
  if (adapter.ranks.includes(requested)) return { rank: requested, reason: 'requested', requested }
  throw errors.rankNotAllowed(requested, [0, ...adapter.ranks, 'max', 'auto', 'base'])
}

/** What `auto` would choose. Throws `validation` for a `minQuality` outside (0, 1]. */
export function autoChoice(adapter: RankedAdapter, minQuality?: number): RankDecision {
  return resolveRank(adapter, 'auto', minQuality)
}

function checkMinQuality(minQuality = defaultMinQuality): number {
  if (minQuality > 0 && minQuality <= 1) return minQuality
  throw errors.validation(`min_quality ${minQuality} is not a ratio: expected more than 0 and at most 1`, {
    pointer: '/parameters/min_quality',
  })
}

function baseOnly(requested: RankRequest = 'max'): RankDecision {
  if (requested === 'max' || requested === 'auto') return { rank: 0, reason: 'base', requested }
  throw errors.rankNotAllowed(requested, [0, 'base'])
}

function cheapestGoodRank(adapter: RankedAdapter, share: number): RankDecision {
  const curve = curveOf(adapter)
  const best = Math.max(...curve.map(score))
  const good = curve.filter((point) => isGoodEnough(score(point), best, share)).map(({ rank }) => rank)
  if (good.length === 0) return { rank: adapter.maxRank, reason: 'no_curve', requested: 'auto' }
  return { rank: Math.min(...good), reason: 'auto', requested: 'auto' }
}

/** The points that `auto` compares: of one data set, metric and decoding, at trained ranks, by what was not trained or tested on. */
function curveOf({ ranks, quality }: RankedAdapter): readonly QualityPoint[] {
  const points = quality.filter(
    ({ primary, split, rank, value }) =>
      primary && split === 'validation' && rank > 0 && ranks.includes(rank) && Number.isFinite(value),
  )
  const [first] = points
  return points.filter(
    ({ dataset, metric, decoding }) =>
      dataset === first?.dataset && metric === first.metric && decoding === first.decoding,
  )
}

/** More is better. */
function score({ value, higherIsBetter }: QualityPoint): number {
  return higherIsBetter ? value : -value
}

/** A share of a loss (a best score below zero) is the inverse ratio: at 0.99, a perplexity of 10 allows 10/0.99. */
function isGoodEnough(score: number, best: number, share: number): boolean {
  return best > 0 ? score >= share * best : share * score >= best
}
