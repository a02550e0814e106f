/** Repeatable randomness without state: a generator for each purpose and step, so that resuming needs only the step. */
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus'

export interface RandomSource {
  /** Uniform in [0, 1). */
  readonly next: () => number
  /** Uniform integer in [0, bound). */
  readonly below: (bound: number) => number
}

/** What randomness is used for. Each purpose has a stream of its own, so that one more draw here changes nothing there. */
const purposes = ['initialization', 'order', 'rank', 'dropout', 'bootstrap', 'rank-stratum'] as const
export type Purpose = (typeof purposes)[number]

export function randomSource(seed: number, purpose: Purpose, index: number): RandomSource {
  const generator = xoroshiro128plus(mix(mix(mix(0x9e3779b9, seed), purposes.indexOf(purpose)), index))
  // The first draws of neighbouring seeds are alike.
  for (let i = 0; i < 8; i++) generator.next()
  const next = () => (generator.next() >>> 0) / 2 ** 32
  return { next, below: (bound) => Math.floor(next() * bound) }
}

/** Murmur3's finalizer over a running hash. */
function mix(hash: number, value: number): number {
  let h = Math.imul(hash ^ (value | 0), 0x85ebca6b) ^ Math.floor(value / 2 ** 32)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) | 0
}

/** Fisher and Yates. */
export function shuffled<T>(items: readonly T[], random: RandomSource): T[] {
  const result = [...items]
  for (let i = result.length - 1; i > 0; i--) {
    const j = random.below(i + 1)
    ;[result[i], result[j]] = [result[j] as T, result[i] as T]
  }
  return result
}
