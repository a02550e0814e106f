/**
 * Corpus BLEU as four scripts compute it: one way to count (Papineni et al. 2002: hits clipped at the reference that
 * has most, lengths of the closest reference), and for each script its tokens and how it turns counts into a score.
 */
import type { Metric } from './metric.ts'
import { clippedHits, countNgrams, highestCounts } from './ngrams.ts'
import { splitAscii, tokenizeMultiBleuDetok, tokenizePymteval, tokenizeSacrebleu } from './tokens-13a.ts'

const maxOrder = 4
const orders = Array.from({ length: maxOrder }, (_, i) => i + 1)

/** Sums over a corpus, or the counts of one instance. */
interface BleuCounts {
  /** Clipped hits of orders 1..4. */
  readonly hits: readonly number[]
  /** N-grams in the outputs, of orders 1..4. */
  readonly totals: readonly number[]
  /** Words in the outputs. */
  readonly length: number
  /** Words in the references closest to them in length. */
  readonly reference: number
}

interface BleuRules {
  readonly tokenisation: string
  readonly tokenize: (text: string) => string[]
  /** How many n-grams of an order a text of so many words is said to have. */
  readonly totalOf: (words: number, order: number) => number
  /** The score in points, 0 to 100. */
  readonly points: (counts: BleuCounts) => number
}

const notNegative = (words: number, order: number) => Math.max(0, words - order + 1)

/** BLEU of the E2E challenge (e2e-metrics, `-p`): never smoothed, but floors keep it defined. */
export const bleu: Metric = bleuMetric({
  tokenisation: 'mteval v13a, lowercased',
  tokenize: tokenizePymteval,
  // Below zero for texts shorter than the order: so the script sums them.
  totalOf: (words, order) => words - order + 1,
  points: ({ hits, totals, length, reference }) => {
    const brevity = length <= reference ? Math.exp(1 - reference / (length === 0 ? 1e-5 : length)) : 1
    const logs = hits.map((hit, i) => Math.log(Math.max(hit, 1e-15) / Math.max(totals[i] as number, 1e-9)))
    return 100 * (brevity * Math.exp((1 / maxOrder) * sum(logs)))
  },
})

/** BLEU of Moses' multi-bleu.perl, on text that is tokenised already. */
export const multiBleu: Metric = bleuMetric({
  tokenisation: 'words between blanks, case kept',
  tokenize: splitAscii,
  totalOf: notNegative,
  points: multiBleuPoints,
})

/** BLEU of multi-bleu-detok.perl, which WebNLG and DART report. */
export const multiBleuDetok: Metric = bleuMetric({
  tokenisation: 'mteval v13a, case kept',
  tokenize: tokenizeMultiBleuDetok,
  totalOf: notNegative,
  points: multiBleuPoints,
})

/** sacrebleu's default: an order without hits counts as half a hit, the next such order as a quarter, and so on. */
export const sacrebleu: Metric = bleuMetric({
  tokenisation: "sacrebleu's 13a, case kept",
  tokenize: tokenizeSacrebleu,
  totalOf: notNegative,
  points: ({ hits, totals, length, reference }) => {
    if (hits.every((hit) => hit === 0) || totals.includes(0)) return 0
    let halves = 1
    const precisions = hits.map((hit, i) => {
      if (hit === 0) halves *= 2
      return (100 * (hit === 0 ? 1 / halves : hit)) / (totals[i] as number)
    })
    return brevityPenalty(length, reference) * Math.exp(sum(precisions.map(Math.log)) / maxOrder)
  },
})

function bleuMetric({ tokenisation, tokenize, totalOf, points }: BleuRules): Metric {
  const instance = (hypothesis: string, references: readonly string[]) => {
    const words = tokenize(hypothesis)
    const referenceWords = references.map(tokenize)
    const hits = orders.map((order) =>
      clippedHits(
        countNgrams(words, order),
        highestCounts(referenceWords.map((reference) => countNgrams(reference, order))),
      ),
    )
    const totals = orders.map((order) => totalOf(words.length, order))
    return Float64Array.from([...hits, ...totals, closestLength(words.length, referenceWords)])
  }
  return {
    higherIsBetter: true,
    tokenisation,
    instances: (hypotheses, references) => hypotheses.map((text, i) => instance(text, references[i] ?? [])),
    combine: (counts) => points(unpack(counts)),
  }
}

function unpack(counts: Float64Array): BleuCounts {
  return {
    hits: Array.from(counts.subarray(0, maxOrder)),
    totals: Array.from(counts.subarray(maxOrder, 2 * maxOrder)),
    length: counts[maxOrder] as number,
    reference: counts[2 * maxOrder] as number,
  }
}

function multiBleuPoints({ hits, totals, length, reference }: BleuCounts): number {
  if (reference === 0 || hits.includes(0)) return 0
  const logs = hits.map((hit, i) => Math.log(hit / (totals[i] as number)))
  return 100 * (brevityPenalty(length, reference) * Math.exp(sum(logs) / maxOrder))
}

/** Called with some hits, so with some words. */
const brevityPenalty = (length: number, reference: number) =>
  length < reference ? Math.exp(1 - reference / length) : 1

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)

/** The reference length closest to the hypothesis; the shorter one where two are as close. */
function closestLength(length: number, references: readonly (readonly string[])[]): number {
  const lengths = references.map((words) => words.length)
  return lengths.reduce((best, candidate) => {
    const nearer = Math.abs(candidate - length) - Math.abs(best - length)
    return nearer < 0 || (nearer === 0 && candidate < best) ? candidate : best
  })
}
