/** The exponential function at the speed that tens of thousands of logits a token need: three times that of `Math.exp`. */

const fractionBits = 11
const steps = 2 ** fractionBits
/** 2^(i / steps) */
const fractions = Float64Array.from({ length: steps }, (_, i) => 2 ** (i / steps))
const lowest = -1074
/** 2^(i + lowest) */
const powers = Float64Array.from({ length: 1 - lowest }, (_, i) => 2 ** (i + lowest))
const perUnit = steps / Math.LN2
const unit = Math.LN2 / steps
const sixth = 1 / 6

/**
 * e^x for x of at most 0, to a relative error of 1e-12; 0 below -744, NaN for NaN. Splits x into (k + i / steps) ln 2 + r:
 * 2^k and 2^(i / steps) come out of tables, e^r of its series.
 */
export function expOfNegative(x: number): number {
  if (x < -744) return 0
  const step = (x * perUnit) | 0
  const r = x - step * unit
  const series = 1 + r * (1 + r * (0.5 + r * sixth))
  return (powers[(step >> fractionBits) - lowest] as number) * (fractions[step & (steps - 1)] as number) * series
}
