/** ROUGE-L as MS COCO's caption evaluation computes it (Lin 2004, with precision and recall of any two references). */
import { captionMetric } from './caption-metric.ts'
import type { Metric } from './metric.ts'

type Words = readonly string[]

/** How much more recall weighs than precision. */
const beta = 1.2

/** The mean over instances of the F score of the longest common subsequence; 0 to 1. */
export const rougeL: Metric = captionMetric((hypotheses, references) =>
  hypotheses.map((words, i) => rougeLOf(words, references[i] as readonly Words[])),
)

/** The score of one instance: the best precision and the best recall, which may be of different references. */
export function rougeLOf(hypothesis: Words, references: readonly Words[]): number {
  const words = orOneEmptyWord(hypothesis)
  let precision = 0
  let recall = 0
  for (const reference of references.map(orOneEmptyWord)) {
    const common = longestCommonSubsequence(words, reference)
    precision = Math.max(precision, common / words.length)
    recall = Math.max(recall, common / reference.length)
  }
  if (precision === 0) return 0
  return ((1 + beta ** 2) * precision * recall) / (recall + beta ** 2 * precision)
}

/** The script splits at each blank, so that a text without words is one empty word. */
const orOneEmptyWord = (words: Words): Words => (words.length === 0 ? [''] : words)

function longestCommonSubsequence(a: Words, b: Words): number {
  let row = new Uint32Array(b.length + 1)
  for (const word of a) {
    const next = new Uint32Array(b.length + 1)
    for (let j = 0; j < b.length; j++) {
      const [above, left] = [row[j + 1] as number, next[j] as number]
      next[j + 1] = word === b[j] ? (row[j] as number) + 1 : Math.max(above, left)
    }
    row = next
  }
  return row[b.length] as number
}
