/** One number for a quality curve over ranks. */

export interface RankQuality {
  readonly rank: number
  readonly value: number
}

/**
 * AURAC (MatryoshkaLoRA, arXiv 2605.07850): the trapezoid area under quality over log2(rank), divided by its span, so in
 * the unit of the quality. Ranks are 1 and up, each once, in any order; of a single rank it is the quality itself.
 */
export function aurac(curve: readonly RankQuality[]): number {
  const points = curve.map(({ rank, value }) => ({ at: Math.log2(rank), value })).sort((a, b) => a.at - b.at)
  const [first] = points
  const last = points.at(-1)
  if (first === undefined || last === undefined)
    throw new RangeError('Expected the quality of at least one rank, got none')
  if (!(first.at >= 0) || new Set(points.map(({ at }) => at)).size < points.length) {
    throw new RangeError(`Expected ranks from 1, each once, got ${curve.map(({ rank }) => rank).join(', ')}`)
  }
  if (points.length === 1) return first.value
  let area = 0
  for (const [i, { at, value }] of points.slice(1).entries()) {
    const before = points[i]!
    area += ((before.value + value) / 2) * (at - before.at)
  }
  return area / (last.at - first.at)
}
