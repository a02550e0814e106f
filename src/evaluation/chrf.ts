/** chrF (Popović 2015, 2017): F2 of character n-grams, and for chrF++ of word n-grams too. */
import type { Metric } from './metric.ts'
import { clippedHits, countNgrams, type NgramCounts } from './ngrams.ts'
import { splitPython } from './tokens-13a.ts'

const characterOrders = [1, 2, 3, 4, 5, 6]
const betaSquared = 4

interface ChrfRules {
  readonly tokenisation: string
  readonly characters: (text: string) => string
  readonly wordOrders: readonly number[]
  /** The score in [0, 1], from what the orders have. */
  readonly score: (orders: readonly OrderCounts[]) => number
}

/** N-grams of one order in the output, in the reference and in both. */
type OrderCounts = readonly [inHypothesis: number, inReference: number, inBoth: number]

/** sacrebleu's chrF2, in points, 0 to 100. */
export const chrf: Metric = chrfMetric({
  tokenisation: 'characters without blanks, case kept',
  characters: (text) => splitPython(text).join(''),
  wordOrders: [],
  score: scoreOfMeans,
})

/** sacrebleu's chrF2++, in points, 0 to 100. */
export const chrfPlusPlus: Metric = chrfMetric({
  tokenisation: 'characters without blanks, and words with punctuation split off, case kept',
  characters: (text) => splitPython(text).join(''),
  wordOrders: [1, 2],
  score: scoreOfMeans,
})

/** chrF2++ of Popović's chrF++.py, which WebNLG reports, in points, 0 to 100. */
export const chrfPlusPlusPy: Metric = chrfMetric({
  tokenisation:
    'characters without spaces, and words with punctuation split off, case kept; mean of the F of all orders',
  characters: (text) => text.trim().replaceAll(' ', ''),
  wordOrders: [1, 2],
  score: meanScore,
})

/** The counts of an instance are those of its best reference: for each order n-grams of output, reference, and both. */
function chrfMetric({ tokenisation, characters, wordOrders, score }: ChrfRules): Metric {
  const ngramsOf = (text: string): NgramCounts[] => {
    const letters = [...characters(text)]
    const words = wordOrders.length === 0 ? [] : splitPython(text).flatMap(splitPunctuation)
    return [
      ...characterOrders.map((order) => countNgrams(letters, order, '')),
      ...wordOrders.map((order) => countNgrams(words, order)),
    ]
  }
  const combine = (counts: Float64Array) => 100 * score(unpack(counts))
  const instance = (hypothesis: string, references: readonly string[]) => {
    const ngrams = ngramsOf(hypothesis)
    const candidates = references.map((reference) => match(ngrams, ngramsOf(reference)))
    return candidates.reduce((best, candidate) => (combine(candidate) > combine(best) ? candidate : best))
  }
  return {
    higherIsBetter: true,
    tokenisation,
    instances: (hypotheses, references) => hypotheses.map((text, i) => instance(text, references[i] ?? [])),
    combine,
  }
}

/** One mark at the end of a word is split off, or else one at its start; "(hi)" becomes "(hi" and ")". */
function splitPunctuation(word: string): string[] {
  if ([...word].length === 1) return [word]
  if (/[!-/:-@[-`{-~]$/.test(word)) return [word.slice(0, -1), word.slice(-1)]
  return /^[!-/:-@[-`{-~]/.test(word) ? [word.slice(0, 1), word.slice(1)] : [word]
}

function match(hypothesis: readonly NgramCounts[], reference: readonly NgramCounts[]): Float64Array {
  return Float64Array.from(
    hypothesis.flatMap((ngrams, i) => {
      const limits = reference[i] as NgramCounts
      const referenceCount = total(limits)
      // An order that the reference is too short for says nothing about the output.
      return [referenceCount === 0 ? 0 : total(ngrams), referenceCount, clippedHits(ngrams, limits)]
    }),
  )
}

function total(ngrams: NgramCounts): number {
  let sum = 0
  for (const count of ngrams.values()) sum += count
  return sum
}

function unpack(counts: Float64Array): OrderCounts[] {
  return Array.from({ length: counts.length / 3 }, (_, i) => {
    const [inHypothesis = 0, inReference = 0, inBoth = 0] = counts.subarray(3 * i, 3 * i + 3)
    return [inHypothesis, inReference, inBoth]
  })
}

/** F of mean precision and mean recall, over the orders that both sides have. */
function scoreOfMeans(orders: readonly OrderCounts[]): number {
  const shared = orders.filter(([inHypothesis, inReference]) => inHypothesis > 0 && inReference > 0)
  let precision = 0
  let recall = 0
  for (const [inHypothesis, inReference, inBoth] of shared) {
    precision += inBoth / inHypothesis
    recall += inBoth / inReference
  }
  return fScore(precision / shared.length, recall / shared.length)
}

/** The mean over all orders of their F; one that a side is too short for counts as zero. */
function meanScore(orders: readonly OrderCounts[]): number {
  const scores = orders.map(([inHypothesis, inReference, inBoth]) =>
    fScore(inBoth / inHypothesis, inBoth / inReference),
  )
  return scores.reduce((sum, score) => sum + score, 0) / orders.length
}

/** Zero without any match, be there nothing to match. */
function fScore(precision: number, recall: number): number {
  return precision > 0 && recall > 0 ? ((1 + betaSquared) * precision * recall) / (betaSquared * precision + recall) : 0
}
