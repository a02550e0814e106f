/** Corpus BLEU exactly as the official E2E script computes it (mteval v13a, case-insensitive, no smoothing). */
import type { Metric } from './metric.ts'

const maxOrder = 4

/** Keeps a BLEU without any match of some order defined, as the official script does. */
const leastHits = 1e-15
const leastLength = 1e-9

/** The layout of one instance's counts: hits of orders 1..4, n-grams of orders 1..4, closest reference length. */
const hitsAt = 0
const lengthsAt = maxOrder
const referenceAt = 2 * maxOrder
const bleuCounts = referenceAt + 1

const entities: readonly (readonly [RegExp, string])[] = [
  [/&quot;/g, '"'],
  [/&amp;/g, '&'],
  [/&lt;/g, '<'],
  [/&gt;/g, '>'],
]

/**
 * mteval v13a tokens, lowercased: blanks around ASCII punctuation but apostrophe, comma, hyphen and full stop;
 * comma and full stop stay only between digits; a hyphen is split off after a digit.
 */
export function tokenize13a(text: string): string[] {
  const plain = entities.reduce((unescaped, [entity, character]) => unescaped.replace(entity, character), text)
  // The blanks at both ends count as what is "not a digit": "30." at the end of a text loses its full stop.
  return ` ${plain} `
    .replace(/[{-~[-` -&(-+:-@/]/g, ' $& ')
    .replace(/([^0-9])([.,])/g, '$1 $2 ')
    .replace(/([.,])([^0-9])/g, ' $1 $2')
    .replace(/([0-9])(-)/g, '$1 $2 ')
    .toLowerCase()
    .split(/\s+/)
    .filter((token) => token !== '')
}

/** BLEU of the E2E challenge, in points from 0 to 100. */
export const bleu: Metric = {
  higherIsBetter: true,
  tokenisation: 'mteval v13a, lowercased',
  instances: (hypotheses, references) => hypotheses.map((text, i) => bleuInstance(text, references[i] ?? [])),
  combine: (counts) => 100 * bleuOf(counts),
}

/** What one instance adds to the corpus counts: `bleuCounts` numbers. The text is tokenised here. */
export function bleuInstance(hypothesis: string, references: readonly string[]): Float64Array {
  if (references.length === 0) throw new RangeError(`Expected at least one reference for '${hypothesis}', got none`)
  const words = tokenize13a(hypothesis)
  const referenceWords = references.map(tokenize13a)
  const counts = new Float64Array(bleuCounts)
  for (let order = 1; order <= maxOrder; order++) {
    counts[hitsAt + order - 1] = clippedHits(words, referenceWords, order)
    // Below zero for outputs shorter than the order: so the official script sums them.
    counts[lengthsAt + order - 1] = words.length - order + 1
  }
  counts[referenceAt] = closestLength(words.length, referenceWords)
  return counts
}

/** BLEU in [0, 1] from counts summed over the corpus. */
export function bleuOf(counts: Float64Array): number {
  const length = counts[lengthsAt] as number
  const reference = counts[referenceAt] as number
  const brevity = length <= reference ? Math.exp(1 - reference / (length === 0 ? 1e-5 : length)) : 1
  let logSum = 0
  for (let i = 0; i < maxOrder; i++) {
    const hits = Math.max(counts[hitsAt + i] as number, leastHits)
    logSum += Math.log(hits / Math.max(counts[lengthsAt + i] as number, leastLength))
  }
  return brevity * Math.exp((1 / maxOrder) * logSum)
}

function clippedHits(words: readonly string[], references: readonly (readonly string[])[], order: number): number {
  const limits = new Map<string, number>()
  for (const reference of references) {
    for (const [ngram, count] of ngrams(reference, order)) limits.set(ngram, Math.max(count, limits.get(ngram) ?? 0))
  }
  let hits = 0
  for (const [ngram, count] of ngrams(words, order)) hits += Math.min(count, limits.get(ngram) ?? 0)
  return hits
}

function ngrams(words: readonly string[], order: number): Map<string, number> {
  const counts = new Map<string, number>()
  for (let i = 0; i + order <= words.length; i++) {
    const ngram = words.slice(i, i + order).join(' ')
    counts.set(ngram, (counts.get(ngram) ?? 0) + 1)
  }
  return counts
}

/** The reference length closest to the hypothesis; the shorter one where two are as close. */
function closestLength(length: number, references: readonly (readonly string[])[]): number {
  const lengths = references.map((words) => words.length)
  return lengths.reduce((best, candidate) => {
    const nearer = Math.abs(candidate - length) - Math.abs(best - length)
    return nearer < 0 || (nearer === 0 && candidate < best) ? candidate : best
  })
}
