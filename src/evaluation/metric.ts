/** What a text metric is. Each lives in its own module; `metrics.ts` lists them. */

export interface Metric {
  readonly higherIsBetter: boolean
  /** How texts become tokens, in words: part of what a number means. */
  readonly tokenisation: string
  /**
   * The counts of each instance, all arrays of one length. May look at the whole corpus (document frequencies).
   * There are as many groups of references as hypotheses, and none is empty.
   */
  readonly instances: (hypotheses: readonly string[], references: readonly (readonly string[])[]) => Float64Array[]
  /** The score of a corpus from the sum of its instances' counts. */
  readonly combine: (counts: Float64Array) => number
}
