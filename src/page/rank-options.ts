/** Which ranks of an adapter the playground offers, and begins with. */
import type { Adapter } from './api.ts'

/** A browser opens six connections to a server, and one is for the page itself. */
export const mostAtOnce = 5

/** So many ranks are offered one by one; of more, the powers of two. */
const offeredSingly = 16

/** As trained, or as its operator bounds it. */
const highestRank = (adapter: Adapter | null): number =>
  Math.min(adapter?.max_rank ?? 0, adapter?.policy.max_rank ?? Number.POSITIVE_INFINITY)

/** Base, 1, 4 and the highest, as far as the adapter has them. */
export function defaultRanks(adapter: Adapter | null): readonly string[] {
  const top = highestRank(adapter)
  if (adapter === null) return ['base']
  if (adapter.method === 'lora') return ['base', 'max']
  return ['base', ...[1, 4].filter((rank) => rank < top).map(String), 'max']
}

export function offeredRanks(adapter: Adapter | null, chosen: readonly string[]): string[] {
  const top = highestRank(adapter)
  const all = adapter?.method === 'lora' ? [] : Array.from({ length: top }, (_, i) => i + 1)
  const few = top <= offeredSingly ? all : all.filter((rank) => Number.isInteger(Math.log2(rank)))
  const typed = chosen.map(Number).filter((rank) => rank > 0)
  const numbers = [...new Set([...few, ...typed])].sort((a, b) => a - b).map(String)
  return adapter === null ? ['base'] : ['base', ...numbers, 'max', 'auto']
}

/** Are there ranks that are not offered one by one? */
export const isWide = (adapter: Adapter | null): boolean => highestRank(adapter) > offeredSingly
