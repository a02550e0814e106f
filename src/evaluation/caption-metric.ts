/** What the metrics of MS COCO's caption evaluation share: its tokens, and scores that are means over instances. */
import type { Metric } from './metric.ts'
import { captionWords } from './ptb-tokenizer.ts'

type Words = readonly string[]

/** A row from the scores of the instances of a corpus. An instance counts its score, and 1 for itself. */
export function captionMetric(
  scoresOf: (hypotheses: readonly Words[], references: readonly (readonly Words[])[]) => readonly number[],
): Metric {
  return {
    higherIsBetter: true,
    tokenisation: "as Stanford's PTBTokenizer 3.4.1, lowercased, punctuation dropped",
    instances: (hypotheses, references) =>
      scoresOf(
        hypotheses.map(captionWords),
        references.map((group) => group.map(captionWords)),
      ).map((score) => Float64Array.of(score, 1)),
    combine: ([sum = 0, instances = 0]) => sum / instances,
  }
}
