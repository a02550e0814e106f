/** Bootstrap over instances: how far a corpus score moves when the test set is drawn again. Seeded. */
import { uniformInt } from 'pure-rand/distribution/uniformInt'
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus'
import { sumCounts } from './metrics.ts'

export interface BootstrapOptions {
  readonly resamples?: number
  readonly seed?: number
}
type Combine = (counts: Float64Array) => number

/** The percentile interval that holds 95 % of the resampled scores. */
export function confidence95(
  counts: readonly Float64Array[],
  combine: Combine,
  options: BootstrapOptions = {},
): readonly [number, number] {
  const scores = [...resamples(counts.length, options)].map((indices) => combine(sumCounts(counts, indices)))
  scores.sort((a, b) => a - b)
  return [percentile(scores, 0.025), percentile(scores, 0.975)]
}

export interface PairedComparison {
  /** Score of a minus score of b, on the whole set. */
  readonly difference: number
  readonly ci95: readonly [number, number]
  /** Share of resamples in which a does not beat b (Koehn's paired bootstrap). */
  readonly pValue: number
}

/** Compares two systems on the same instances: both are scored on the same resamples. */
export function pairedBootstrap(
  a: readonly Float64Array[],
  b: readonly Float64Array[],
  combine: Combine,
  options: BootstrapOptions = {},
): PairedComparison {
  if (a.length !== b.length)
    throw new RangeError(`Expected systems on the same instances, got ${a.length} and ${b.length}`)
  const difference = combine(sumCounts(a)) - combine(sumCounts(b))
  const differences = [...resamples(a.length, options)].map(
    (indices) => combine(sumCounts(a, indices)) - combine(sumCounts(b, indices)),
  )
  const pValue = differences.filter((drawn) => drawn <= 0).length / differences.length
  differences.sort((x, y) => x - y)
  return { difference, ci95: [percentile(differences, 0.025), percentile(differences, 0.975)], pValue }
}

function* resamples(size: number, { resamples: count = 1000, seed = 42 }: BootstrapOptions): Generator<Uint32Array> {
  const generator = xoroshiro128plus(seed)
  for (let i = 0; i < count; i++) yield Uint32Array.from({ length: size }, () => uniformInt(generator, 0, size - 1))
}

/** Linear interpolation between the sorted values. */
function percentile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1)
  const low = sorted[Math.floor(at)] as number
  const high = sorted[Math.ceil(at)] as number
  return low + (high - low) * (at - Math.floor(at))
}
