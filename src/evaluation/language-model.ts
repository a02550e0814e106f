/** What a language model is worth without references: perplexity, and how far a rank says what the top rank says. */

/** Perplexity: the exponential of the mean loss per target token, in nats. */
export const perplexity = (meanLoss: number): number => Math.exp(meanLoss)

/**
 * What one instance adds: [positions where both outputs have the same token, positions of the longer output]. Tokens are
 * compared position by position from the start, without any alignment: after a word that only one of them has, the rest
 * counts as different, which is what a reader who compares the two outputs token by token sees.
 */
export function agreementInstance<Token>(output: readonly Token[], top: readonly Token[]): Float64Array {
  const same = output.filter((token, position) => position < top.length && token === top[position]).length
  return Float64Array.of(same, Math.max(output.length, top.length))
}

/** Token agreement with the top rank in [0, 1] from summed counts: 1 where all outputs are the same, empty ones too. */
export function agreementOf(counts: Float64Array): number {
  const [same = 0, positions = 0] = counts
  return positions === 0 ? 1 : same / positions
}
