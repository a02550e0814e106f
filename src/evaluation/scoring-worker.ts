/** The process that scores: one message brings the task, one takes the scores back (see `scoring-process.ts`). */
import { metricPoint } from './curve.ts'
import type { ScoringTask, TextScore } from './scoring-process.ts'

function scoresOf({ outputs, references, metrics, seed }: ScoringTask): TextScore[][] {
  const groups = references.map((texts) => ({ context: '', references: texts }))
  // Where a score was measured is its caller's to say.
  const place = { rank: 0, dataset: '', split: 'test' } as const
  return outputs.map((hypotheses) =>
    metrics.map((metric) => {
      const point = metricPoint(place, metric, hypotheses, groups, { primary: false, seed })
      const { value, ci95, n, higherIsBetter } = point
      return { metric, value, ci95, n, higherIsBetter }
    }),
  )
}

process.once('message', (task) => process.send?.(scoresOf(task as ScoringTask), () => process.disconnect()))
