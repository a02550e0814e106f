/** chrF as sacrebleu computes it (Popović 2015, 2017): F2 of character n-grams, and of word n-grams for chrF++. */
import type { Metric } from './metric.ts'
import { clippedHits, countNgrams, type NgramCounts } from './ngrams.ts'
import { splitPython } from './tokens-13a.ts'

const characterOrders = [1, 2, 3, 4, 5, 6]
const betaSquared = 4

/** chrF2 in points, 0 to 100. */
export const chrf: Metric = chrfMetric('characters without blanks, case kept', [])

/** chrF2++ in points, 0 to 100. */
export const chrfPlusPlus: Metric = chrfMetric(
  'characters without blanks, and words with punctuation split off, case kept',
  [1, 2],
)

/** The counts of an instance are those of its best reference: for each order n-grams of output, reference, and both. */
function chrfMetric(tokenisation: string, wordOrders: readonly number[]): Metric {
  const ngramsOf = (text: string): NgramCounts[] => {
    const words = splitPython(text)
    const characters = [...words.join('')]
    const separated = wordOrders.length === 0 ? [] : words.flatMap(splitPunctuation)
    return [
      ...characterOrders.map((order) => countNgrams(characters, order, '')),
      ...wordOrders.map((order) => countNgrams(separated, order)),
    ]
  }
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

/** Precision and recall are means over the orders that both sides have. */
function combine(counts: Float64Array): number {
  let precision = 0
  let recall = 0
  let orders = 0
  for (let i = 0; i < counts.length; i += 3) {
    const [inHypothesis = 0, inReference = 0, inBoth = 0] = counts.subarray(i, i + 3)
    if (inHypothesis === 0 || inReference === 0) continue
    precision += inBoth / inHypothesis
    recall += inBoth / inReference
    orders += 1
  }
  if (precision + recall === 0) return 0
  precision /= orders
  recall /= orders
  return (100 * (1 + betaSquared) * precision * recall) / (betaSquared * precision + recall)
}
