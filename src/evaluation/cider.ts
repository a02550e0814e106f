/**
 * CIDEr-D (Vedantam et al. 2015) as MS COCO's caption evaluation computes it: the cosine between n-grams weighted by how
 * few instances have them in a reference, with hits clipped and a penalty for another length.
 */
import { captionMetric } from './caption-metric.ts'
import type { Metric } from './metric.ts'
import { countNgrams, type NgramCounts } from './ngrams.ts'

const orders = [1, 2, 3, 4]

/** The spread of lengths that is forgiven, in bigrams. */
const sigma = 6

/** The mean over instances, 0 to 10. The weights come from all references, whatever instances are drawn again. */
export const cider: Metric = captionMetric((hypotheses, references) =>
  ciderScores(
    hypotheses.map(splitNumbers),
    references.map((group) => group.map(splitNumbers)),
  ),
)

/** Numbers such as `1 1/2` are one token, but to the script that counts n-grams their blank is one as any other. */
const splitNumbers = (words: Words): Words => words.flatMap((word) => word.split('\u00a0'))

type Words = readonly string[]

/** The n-grams of one text and order, each with its weight, and the length of that vector. */
interface WeightedNgrams {
  readonly weights: NgramCounts
  readonly norm: number
}

/** The score of each instance, 0 to 10: the mean over orders and references. */
export function ciderScores(hypotheses: readonly Words[], references: readonly (readonly Words[])[]): number[] {
  const documents = orders.map((order) => documentFrequencies(references, order))
  const weigh = (words: Words) => ({
    bigrams: Math.max(0, words.length - 1),
    vectors: orders.map((order, i) =>
      weightedNgrams(countNgrams(words, order), documents[i] as NgramCounts, references.length),
    ),
  })
  return hypotheses.map((words, i) => {
    const hypothesis = weigh(words)
    const group = (references[i] as readonly Words[]).map(weigh)
    const similarities = group.map(({ bigrams, vectors }) => {
      const penalty = Math.exp(-((hypothesis.bigrams - bigrams) ** 2) / (2 * sigma ** 2))
      return penalty * mean(vectors.map((vector, n) => similarity(hypothesis.vectors[n] as WeightedNgrams, vector)))
    })
    return 10 * mean(similarities)
  })
}

/** In the references of how many instances an n-gram is. */
function documentFrequencies(references: readonly (readonly Words[])[], order: number): NgramCounts {
  const documents = new Map<string, number>()
  for (const group of references) {
    const ngrams = new Set(group.flatMap((words) => [...countNgrams(words, order).keys()]))
    for (const ngram of ngrams) documents.set(ngram, (documents.get(ngram) ?? 0) + 1)
  }
  return documents
}

function weightedNgrams(counts: NgramCounts, documents: NgramCounts, instances: number): WeightedNgrams {
  const weights = new Map<string, number>()
  let squares = 0
  for (const [ngram, count] of counts) {
    const weight = count * (Math.log(instances) - Math.log(documents.get(ngram) ?? 1))
    weights.set(ngram, weight)
    squares += weight ** 2
  }
  return { weights, norm: Math.sqrt(squares) }
}

/** A cosine in which no n-gram of the hypothesis counts more often than the reference has it. */
function similarity(hypothesis: WeightedNgrams, reference: WeightedNgrams): number {
  let product = 0
  for (const [ngram, weight] of hypothesis.weights) {
    const limit = reference.weights.get(ngram) ?? 0
    product += Math.min(weight, limit) * limit
  }
  return product === 0 ? 0 : product / (hypothesis.norm * reference.norm)
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
