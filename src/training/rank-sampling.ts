/** Which ranks a step trains: the distributions of the paper (section 4.1), and which rows move. */
import type { RandomSource } from './random.ts'

/** Uniform is the paper's choice; geometric (p = 0.15, cut at the maximum) favours low ranks. */
export const rankDistributions = {
  uniform: (random: RandomSource, maxRank: number) => 1 + random.below(maxRank),
  geometric: (random: RandomSource, maxRank: number) => geometric(random, maxRank, 0.15),
} as const
export type RankDistribution = keyof typeof rankDistributions

/** Inverse of the distribution function of a geometric variable that is at most `maxRank`. */
function geometric(random: RandomSource, maxRank: number, p: number): number {
  const within = 1 - (1 - p) ** maxRank
  return Math.min(maxRank, 1 + Math.floor(Math.log1p(-random.next() * within) / Math.log1p(-p)))
}

export interface RankPolicy {
  readonly method: 'dylora' | 'lora'
  readonly maxRank: number
  readonly distribution: RankDistribution
  /** One rank for the whole batch, as in the paper, or one for each example. */
  readonly per: 'batch' | 'example'
  /** `all`: rows 1..b move; `frozen`: row b alone (equation 10). */
  readonly update: 'all' | 'frozen'
}

/** The rank of each example of a batch. */
export function sampleRanks(policy: RankPolicy, batch: number, random: RandomSource): number[] {
  const { method, maxRank, distribution, per } = policy
  if (method === 'lora') return Array(batch).fill(maxRank)
  const draw = () => rankDistributions[distribution](random, maxRank)
  return per === 'batch' ? Array(batch).fill(draw()) : Array.from({ length: batch }, draw)
}

/** The rows [first, end) of the factors that a step at rank b moves. */
export function updatedRows({ method, update }: RankPolicy, rank: number): readonly [first: number, end: number] {
  return method === 'dylora' && update === 'frozen' ? [rank - 1, rank] : [0, rank]
}
