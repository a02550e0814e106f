/**
 * NIST (Doddington 2002): n-gram hits weighted by information, orders 1 to 5, times a length penalty. Information comes
 * from all references of the test set, so it stays as it is when instances are drawn again.
 */
import type { Metric } from './metric.ts'
import { clippedHits, countNgrams, highestCounts } from './ngrams.ts'
import { tokenizeMteval, tokenizePymteval } from './tokens-13a.ts'

const maxOrder = 5
const orders = Array.from({ length: maxOrder }, (_, i) => i + 1)

/**
 * The layout of one instance's counts: information of hits of orders 1..5, n-grams of orders 1..5, then of its
 * references the mean length, the words, how many are not empty, and 1 for the instance.
 */
const totalsAt = maxOrder
const referencesAt = 2 * maxOrder

type Tokens = readonly string[]

interface NistRules {
  readonly tokenisation: string
  readonly tokenize: (text: string) => string[]
  /** How many n-grams of an order a text of so many words is said to have. */
  readonly totalOf: (words: number, order: number) => number
  /** The length that outputs must have for no penalty, from the last four counts. */
  readonly referenceLength: (meanLengths: number, words: number, references: number, instances: number) => number
  /** Whether the n-gram's start counts as empty, so that information is relative to all words. */
  readonly startsAfresh: (start: string) => boolean
}

/** NIST of e2e-metrics in Python (`-p`): an instance's reference length is the mean over its references. */
export const nist: Metric = nistMetric({
  tokenisation: 'mteval v13a, lowercased; reference length: mean of each instance',
  tokenize: tokenizePymteval,
  totalOf: (words, order) => words - order + 1,
  referenceLength: (meanLengths) => meanLengths,
  startsAfresh: (start) => start === '',
})

/** NIST of mteval-v13a.pl, the challenge's own: all reference words over the mean number of references. */
export const nistPerl: Metric = nistMetric({
  tokenisation: 'mteval v13a, ASCII lowercased; reference length: mean of all references',
  tokenize: tokenizeMteval,
  totalOf: (words, order) => Math.max(0, words - order + 1),
  referenceLength: (_, words, references, instances) => (references === 0 ? 0 : (words * instances) / references),
  // The script asks whether the start is true, and to Perl "0" is not.
  startsAfresh: (start) => start === '' || start === '0',
})

function nistMetric({ tokenisation, tokenize, totalOf, referenceLength, startsAfresh }: NistRules): Metric {
  const instances = (hypotheses: readonly string[], references: readonly (readonly string[])[]) => {
    const referenceTokens = references.map((group) => group.map(tokenize))
    const information = informationOf(referenceTokens.flat(), startsAfresh)
    return hypotheses.map((text, i) => {
      const words = tokenize(text)
      const own = referenceTokens[i] ?? []
      const hits = orders.map((order) =>
        clippedHits(
          countNgrams(words, order),
          highestCounts(own.map((tokens) => countNgrams(tokens, order))),
          information,
        ),
      )
      const totals = orders.map((order) => totalOf(words.length, order))
      const ownWords = countWords(own)
      const nonEmpty = own.filter(({ length }) => length > 0).length
      return Float64Array.from([...hits, ...totals, ownWords / own.length, ownWords, nonEmpty, 1])
    })
  }
  return { higherIsBetter: true, tokenisation, instances, combine: (counts) => combine(counts, referenceLength) }
}

/** log2 of how often an n-gram's start occurs for each time that it occurs whole. Defined for n-grams of the texts. */
function informationOf(texts: readonly Tokens[], startsAfresh: NistRules['startsAfresh']): (ngram: string) => number {
  const occurrences = new Map<string, number>()
  for (const tokens of texts) {
    for (const order of orders) {
      for (const [ngram, count] of countNgrams(tokens, order)) {
        occurrences.set(ngram, (occurrences.get(ngram) ?? 0) + count)
      }
    }
  }
  const words = countWords(texts)
  return (ngram) => {
    const start = ngram.slice(0, Math.max(0, ngram.lastIndexOf(' ')))
    const starts = startsAfresh(start) ? words : (occurrences.get(start) as number)
    return Math.log2(starts / (occurrences.get(ngram) as number))
  }
}

const countWords = (texts: readonly Tokens[]) => texts.reduce((sum, { length }) => sum + length, 0)

function combine(counts: Float64Array, referenceLength: NistRules['referenceLength']): number {
  let score = 0
  for (let i = 0; i < maxOrder; i++) {
    const total = counts[totalsAt + i] as number
    score += total === 0 ? 0 : (counts[i] as number) / total
  }
  const [meanLengths = 0, words = 0, references = 0, instances = 0] = counts.subarray(referencesAt)
  return score * lengthPenalty(counts[totalsAt] as number, referenceLength(meanLengths, words, references, instances))
}

/** Halves the score of outputs two thirds as long as the references. */
function lengthPenalty(length: number, reference: number): number {
  if (length <= 0) return 0
  if (length >= reference) return 1
  const beta = Math.LN2 / Math.log(1.5) ** 2
  return Math.exp(-beta * Math.log(length / reference) ** 2)
}
