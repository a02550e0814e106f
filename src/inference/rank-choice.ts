/** Which rank serves a request, and why: never a silent clamp. */
import type { Adapter, QualityPoint, RankPolicy } from '../dylora/adapter.ts'
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

/** What the operator of an adapter says, and what the moment does. */
export interface RankLimits {
  readonly policy?: RankPolicy | undefined
  /** The highest rank that `auto` may take now. */
  readonly cap?: number | undefined
}

/**
 * `adapter` null is the bare base model, which has no rank to choose. Throws `rank_not_allowed` for a rank that the
 * adapter was not trained at or its policy excludes, `validation` for a `minQuality` outside (0, 1].
 */
export function resolveRank(
  adapter: RankedAdapter | null,
  requested: RankRequest | undefined,
  minQuality?: number,
  limits: RankLimits = {},
): RankDecision {
  const share = checkMinQuality(minQuality)
  if (requested === 0) return { rank: 0, reason: 'base', requested: 0 }
  if (adapter === null) return baseOnly(requested)
  const { policy = {} } = limits
  if (requested === undefined) return defaultRank(adapter, policy.defaultRank ?? 'max', share, limits)
  const ranks = ranksUnder(adapter, policy)
  if (requested === 'max') return { rank: ranks.at(-1) ?? 0, reason: 'max', requested }
  if (requested === 'auto') return capped(cheapestGoodRank(adapter, share), ranks, limits.cap)
  if (ranks.includes(requested)) return { rank: requested, reason: 'requested', requested }
  throw errors.rankNotAllowed(requested, allowedRanks(adapter, policy))
}

/** What `rank` may be. */
export const allowedRanks = (adapter: RankedAdapter | null, policy?: RankPolicy): readonly (number | string)[] =>
  adapter === null ? [0, 'base'] : [0, ...ranksUnder(adapter, policy), 'max', 'auto', 'base']

/** What `auto` would choose. Throws `validation` for a `minQuality` outside (0, 1]. */
export function autoChoice(adapter: RankedAdapter, minQuality?: number, policy?: RankPolicy): RankDecision {
  return resolveRank(adapter, 'auto', minQuality, { policy })
}

/** Why this policy cannot be followed for this adapter; null when it can. */
export function policyFault(adapter: RankedAdapter, policy: RankPolicy): string | null {
  const { maxRank, defaultRank } = policy
  const [lowest] = adapter.ranks
  if (maxRank !== undefined && lowest !== undefined && maxRank < lowest) {
    return `maxRank ${maxRank} of its policy is below its lowest rank, ${lowest}`
  }
  const allowed = allowedRanks(adapter, policy)
  if (defaultRank === undefined || allowed.includes(defaultRank)) return null
  return `defaultRank ${defaultRank} of its policy: expected one of ${allowed.join(', ')}`
}

const ranksUnder = ({ ranks }: RankedAdapter, { maxRank = Number.POSITIVE_INFINITY }: RankPolicy = {}) =>
  ranks.filter((rank) => rank <= maxRank)

/** What a request that names no rank gets: a number, or what `max` or `auto` would be. */
function defaultRank(adapter: RankedAdapter, wanted: RankRequest, share: number, limits: RankLimits): RankDecision {
  const decision = resolveRank(adapter, wanted, share, limits)
  return wanted === 'auto' ? decision : { ...decision, reason: 'default' }
}

/** The policy's highest rank bounds the choice, and then the moment's: the highest rank that both leave, or the lowest there is. */
function capped(choice: RankDecision, ranks: readonly number[], cap: number | undefined): RankDecision {
  const highest = ranks.at(-1) ?? choice.rank
  const allowed = choice.rank > highest ? { ...choice, rank: highest, reason: maxRankReason(choice) } : choice
  if (cap === undefined || allowed.rank <= cap) return allowed
  const rank = ranks.findLast((each) => each <= cap) ?? ranks[0] ?? allowed.rank
  return rank < allowed.rank ? { ...allowed, rank, reason: 'pressure' } : allowed
}

/** Without a curve, `auto` is `max`, whichever that is. */
const maxRankReason = ({ reason }: RankDecision): RankReason => (reason === 'no_curve' ? reason : 'max_rank')

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
