/** N-grams, counted and clipped: what BLEU, NIST and chrF share. */

export type NgramCounts = ReadonlyMap<string, number>

/** The n-grams of one order. A key is the tokens with `separator` between them, which no token may hold. */
export function countNgrams(tokens: readonly string[], order: number, separator = ' '): Map<string, number> {
  const counts = new Map<string, number>()
  for (let i = 0; i + order <= tokens.length; i++) {
    let ngram = tokens[i] as string
    for (let j = i + 1; j < i + order; j++) ngram += separator + (tokens[j] as string)
    counts.set(ngram, (counts.get(ngram) ?? 0) + 1)
  }
  return counts
}

/** For each n-gram the count of the text that has most of it. */
export function highestCounts(texts: readonly NgramCounts[]): Map<string, number> {
  const highest = new Map<string, number>()
  for (const counts of texts) {
    for (const [ngram, count] of counts) highest.set(ngram, Math.max(count, highest.get(ngram) ?? 0))
  }
  return highest
}

/** How many n-grams are matched, none more often than its limit; each may weigh more or less than one. */
export function clippedHits(counts: NgramCounts, limits: NgramCounts, weight?: (ngram: string) => number): number {
  let hits = 0
  for (const [ngram, count] of counts) {
    const limit = limits.get(ngram)
    if (limit !== undefined) hits += Math.min(count, limit) * (weight?.(ngram) ?? 1)
  }
  return hits
}
