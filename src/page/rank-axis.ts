/** Ranks along a chart. */
import type { Adapter, Rank } from './api.ts'

/** The ranks of both, without the base model. */
export function allRanks(adapters: readonly (Adapter | null)[]): number[] {
  const ranks = adapters.flatMap((adapter) => adapter?.ranks ?? []).map(({ rank }) => rank)
  return [...new Set(ranks)].filter((rank) => rank > 0).sort((a, b) => a - b)
}

export const rankOf = (adapter: Adapter, rank: number): Rank | undefined =>
  adapter.ranks.find((one) => one.rank === rank)

/** Beyond so many ranks, doubling is what counts. */
export const isWide = (ranks: readonly number[]): boolean => (ranks.at(-1) ?? 0) > 16
