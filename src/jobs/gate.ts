/** Whether a trained adapter may be published. */
import type { Adapter, QualityPoint } from '../dylora/adapter.ts'
import type { JobSpec } from './job.ts'

type Measured = Pick<Adapter, 'quality' | 'maxRank'>

/** Null where it may, else why not, with the numbers. */
export function gateRefusal(gate: JobSpec['gate'], fresh: Measured, old: Measured | null): string | null {
  const curve = primary(fresh)
  const top = curve.find(({ rank }) => rank === fresh.maxRank)
  if (gate.min_quality !== undefined) {
    if (top === undefined) return 'min_quality: nothing was measured, for there is no validation data'
    const short = top.higherIsBetter ? top.value < gate.min_quality : top.value > gate.min_quality
    if (short) return `min_quality: expected ${top.metric} of ${gate.min_quality} at rank ${top.rank}, got ${top.value}`
  }
  if (!gate.not_worse || old === null) return null
  for (const before of primary(old)) {
    const after = curve.find((point) => samePlace(point, before))
    if (after === undefined || before.ci95 === null) continue
    const [low, high] = before.ci95
    const worse = before.higherIsBetter ? after.value < low : after.value > high
    if (worse) {
      return `not_worse: ${after.metric} at rank ${after.rank} is ${after.value}, outside the interval ${low} to ${high} of the adapter in service`
    }
  }
  return null
}

const primary = ({ quality }: Measured): QualityPoint[] =>
  quality.filter(({ primary: reads, split, rank }) => reads && split === 'validation' && rank > 0)

const samePlace = (a: QualityPoint, b: QualityPoint): boolean =>
  a.rank === b.rank && a.metric === b.metric && a.decoding === b.decoding
