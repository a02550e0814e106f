/** Bootstrap over instances: how far a corpus score moves when the test set is drawn again. Seeded. */
import { uniformInt } from 'pure-rand/distribution/uniformInt'
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus'
import { sumCounts } from './metrics.ts'

export interface BootstrapOptions {
  readonly resamples?: number
  readonly seed?: number
}
type Combine = (counts: Float64Array) => number

/** The score of a system on some of its instances, each as often as it is named; on all of them where none are. */
export type ScoreOf = (indices?: Uint32Array) => number

/** The score as a function of the resample, for metrics whose instances have counts that add up. */
export const scoreOfCounts =
  (counts: readonly Float64Array[], combine: Combine): ScoreOf =>
  (indices) =>
    combine(sumCounts(counts, indices))

/** The percentile interval that holds 95 % of the resampled scores. */
export const confidence95 = (
  counts: readonly Float64Array[],
  combine: Combine,
  options: BootstrapOptions = {},
): readonly [number, number] => interval95(counts.length, scoreOfCounts(counts, combine), options)

/** The same of any score: `scoreOf` gets indices into the `size` instances. Resamples without a score do not count. */
export function interval95(size: number, scoreOf: ScoreOf, options: BootstrapOptions = {}): readonly [number, number] {
  return percentiles95(Array.from(resamples(size, options), scoreOf))
}

export interface PairedComparison {
  /** Score of a minus score of b, on the whole set. */
  readonly difference: number
  readonly ci95: readonly [number, number]
  /** Share of resamples in which a does not beat b (Koehn's paired bootstrap). */
  readonly pValue: number
}

export interface PairedOptions extends BootstrapOptions {
  /** What it means to beat (default true). */
  readonly higherIsBetter?: boolean
}

/** Compares two systems on the same instances: both are scored on the same resamples. */
export function pairedBootstrap(
  a: readonly Float64Array[],
  b: readonly Float64Array[],
  combine: Combine,
  options: PairedOptions = {},
): PairedComparison {
  if (a.length !== b.length)
    throw new RangeError(`Expected systems on the same instances, got ${a.length} and ${b.length}`)
  return pairedComparison(a.length, scoreOfCounts(a, combine), scoreOfCounts(b, combine), options)
}

/** The same of any score of two systems on the same `size` instances. */
export function pairedComparison(size: number, a: ScoreOf, b: ScoreOf, options: PairedOptions = {}): PairedComparison {
  const sign = options.higherIsBetter === false ? -1 : 1
  const differences = Array.from(resamples(size, options), (indices) => a(indices) - b(indices)).filter(
    (drawn) => !Number.isNaN(drawn),
  )
  const pValue = differences.filter((drawn) => sign * drawn <= 0).length / differences.length
  return { difference: a() - b(), ci95: percentiles95(differences), pValue }
}

function* resamples(size: number, { resamples: count = 1000, seed = 42 }: BootstrapOptions): Generator<Uint32Array> {
  const generator = xoroshiro128plus(seed)
  for (let i = 0; i < count; i++) yield Uint32Array.from({ length: size }, () => uniformInt(generator, 0, size - 1))
}

/** The bounds of the middle 95 %. A score that a resample does not have (NaN) is left out. */
function percentiles95(scores: readonly number[]): readonly [number, number] {
  const sorted = scores.filter((score) => !Number.isNaN(score)).sort((a, b) => a - b)
  if (sorted.length === 0) return [Number.NaN, Number.NaN]
  return [percentile(sorted, 0.025), percentile(sorted, 0.975)]
}

/** Linear interpolation between the sorted values. */
function percentile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1)
  const low = sorted[Math.floor(at)] as number
  const high = sorted[Math.ceil(at)] as number
  return low + (high - low) * (at - Math.floor(at))
}
