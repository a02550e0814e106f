/** The metrics, one row each. A row turns every instance into counts and counts into a score, so that bootstrap is cheap. */
import { bleuInstance, bleuOf } from './bleu.ts'

export interface Metric {
  readonly higherIsBetter: boolean
  /** How texts become tokens, in words: part of what a number means. */
  readonly tokenisation: string
  /** The counts of each instance, all arrays of one length. May look at the whole corpus (document frequencies). */
  readonly instances: (hypotheses: readonly string[], references: readonly (readonly string[])[]) => Float64Array[]
  /** The score of a corpus from the sum of its instances' counts. */
  readonly combine: (counts: Float64Array) => number
}

export const metrics = {
  /** In points, 0 to 100. */
  bleu: {
    higherIsBetter: true,
    tokenisation: 'mteval v13a, lowercased',
    instances: (hypotheses, references) => hypotheses.map((text, i) => bleuInstance(text, references[i] ?? [])),
    combine: (counts) => 100 * bleuOf(counts),
  },
} as const satisfies Record<string, Metric>

export type MetricName = keyof typeof metrics

/** The corpus score. Hypotheses and reference groups go by index. */
export function score(
  metric: Metric,
  hypotheses: readonly string[],
  references: readonly (readonly string[])[],
): number {
  return metric.combine(sumCounts(countsOf(metric, hypotheses, references)))
}

/** The instances' counts, once it is sure that every hypothesis has its references. */
export function countsOf(
  metric: Metric,
  hypotheses: readonly string[],
  references: readonly (readonly string[])[],
): Float64Array[] {
  if (hypotheses.length !== references.length || hypotheses.length === 0) {
    throw new RangeError(
      `Expected as many hypotheses as reference groups, got ${hypotheses.length} and ${references.length}`,
    )
  }
  return metric.instances(hypotheses, references)
}

/** The sum of some instances' counts; all of them where no indices are given. */
export function sumCounts(counts: readonly Float64Array[], indices?: Uint32Array): Float64Array {
  const sum = new Float64Array(counts[0]?.length ?? 0)
  const add = (row: Float64Array) => {
    for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (row[i] as number)
  }
  if (indices === undefined) for (const row of counts) add(row)
  else for (const index of indices) add(counts[index] as Float64Array)
  return sum
}
