/** Which ranks a step trains: the distributions of the paper (section 4.1), how evenly they are drawn, and which rows move. */
import { type RandomSource, randomSource, shuffled } from './random.ts'

/**
 * Inverse distribution functions: from u in [0, 1) to a rank. Uniform is the paper's choice; geometric (p = 0.15, cut at
 * the maximum) favours low ranks.
 */
export const rankDistributions = {
  uniform: (u: number, maxRank: number) => 1 + Math.floor(u * maxRank),
  geometric: (u: number, maxRank: number) => geometric(u, maxRank, 0.15),
} as const
export type RankDistribution = keyof typeof rankDistributions

/** Of a geometric variable that is at most `maxRank`. */
function geometric(u: number, maxRank: number, p: number): number {
  const within = 1 - (1 - p) ** maxRank
  return Math.min(maxRank, 1 + Math.floor(Math.log1p(-u * within) / Math.log1p(-p)))
}

export interface RankPolicy {
  readonly method: 'dylora' | 'lora'
  readonly maxRank: number
  readonly distribution: RankDistribution
  /** One rank for the whole batch, as in the paper, or one for each example. */
  readonly per: 'batch' | 'example'
  /** `stratified`: every `maxRank` draws (of the steps, or of a batch's examples) cover the distribution evenly. */
  readonly draw: 'independent' | 'stratified'
  /** The share of the examples that train the highest rank whatever is drawn; only where ranks go by example. */
  readonly maxRankShare: number
  /** `all`: rows 1..b move; `frozen`: row b alone (equation 10). */
  readonly update: 'all' | 'frozen'
}

/** The rank of each example of a step's batch; the same seed and step give the same ranks. */
export function sampleRanks(policy: RankPolicy, batch: number, seed: number, step: number): number[] {
  const { method, maxRank, distribution, per, draw } = policy
  if (method === 'lora') return Array(batch).fill(maxRank)
  const rank = (u: number) => rankDistributions[distribution](u, maxRank)
  if (per === 'example') return exampleDraws(policy, batch, randomSource(seed, 'rank', step)).map(rank)
  const u = draw === 'stratified' ? cycleDraw(maxRank, seed, step) : randomSource(seed, 'rank', step).next()
  return Array(batch).fill(rank(u))
}

/** Just below 1: the highest rank in every distribution. */
const top = 1 - 2 ** -32

function exampleDraws({ draw, maxRankShare }: RankPolicy, batch: number, random: RandomSource): number[] {
  const atTop = Math.round(maxRankShare * batch)
  const others = batch - atTop
  const drawn = Array.from({ length: others }, (_, i) =>
    draw === 'stratified' ? (i + random.next()) / others : random.next(),
  )
  const draws = [...drawn, ...Array<number>(atTop).fill(top)]
  return atTop > 0 || draw === 'stratified' ? shuffled(draws, random) : draws
}

/** Steps go through the `strata` parts of [0, 1) in an order that is shuffled anew each time. */
function cycleDraw(strata: number, seed: number, step: number): number {
  const order = shuffled(
    Array.from({ length: strata }, (_, i) => i),
    randomSource(seed, 'rank', Math.floor(step / strata)),
  )
  const stratum = order[step % strata] as number
  return (stratum + randomSource(seed, 'rank-stratum', step).next()) / strata
}

/** The rows [first, end) of the factors that a step at rank b moves. */
export function updatedRows({ method, update }: RankPolicy, rank: number): readonly [first: number, end: number] {
  return method === 'dylora' && update === 'frozen' ? [rank - 1, rank] : [0, rank]
}

/** For each row, the share of the examples that train it: the chance of a rank at or above it (frozen: of its own). */
export function rowShares(policy: RankPolicy): number[] {
  const shares = sharesAtOrAbove(policy)
  return policy.update === 'all' ? shares : shares.map((share, row) => share - (shares[row + 1] ?? 0))
}

function sharesAtOrAbove({ method, maxRank, distribution, per, maxRankShare }: RankPolicy): number[] {
  if (method === 'lora') return Array(maxRank).fill(1)
  const atTop = per === 'example' ? maxRankShare : 0
  return Array.from(
    { length: maxRank },
    (_, row) => atTop + (1 - atTop) * (1 - shareBelow(distribution, maxRank, row + 1)),
  )
}

/** The chance of a rank below `rank`: where the inverse distribution function first reaches it, by bisection. */
function shareBelow(distribution: RankDistribution, maxRank: number, rank: number): number {
  let [low, high] = [0, 1]
  for (let i = 0; i < 50; i++) {
    const middle = (low + high) / 2
    if (rankDistributions[distribution](middle, maxRank) >= rank) high = middle
    else low = middle
  }
  return high
}
