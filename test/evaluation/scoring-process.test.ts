/** Scores from another process are those of this one; a caller that gives up takes the process with it. */
import t from 'tap'
import { confidence95 } from '../../src/evaluation/bootstrap.ts'
import { countsOf, metrics, score } from '../../src/evaluation/metrics.ts'
import { type ScoringTask, scoreInProcess } from '../../src/evaluation/scoring-process.ts'

const references = [['the old mill serves Greek food', 'a mill with Greek food'], ['the pub is by the river']]
const outputs = [
  ['the old mill serves food', 'a pub by the river'],
  ['', 'the pub is by the river'],
]
const task: ScoringTask = { outputs, references, metrics: ['bleu', 'cider', 'ter'], seed: 5 }
const forever = new AbortController().signal

t.test('gives what the metrics give here, for each system', async (t) => {
  const scores = await scoreInProcess(task, forever)
  t.equal(scores.length, outputs.length)
  for (const [i, hypotheses] of outputs.entries()) {
    for (const [j, name] of task.metrics.entries()) {
      const metric = metrics[name]
      const ci95 = confidence95(countsOf(metric, hypotheses, references), metric.combine, { seed: 5 })
      const value = score(metric, hypotheses, references)
      t.same(scores[i]?.[j], { metric: name, value, ci95, n: 2, higherIsBetter: metric.higherIsBetter })
    }
  }
})

t.test('is given up with its caller, before and after it has started', async (t) => {
  await t.rejects(scoreInProcess(task, AbortSignal.abort()), { code: 'cancelled' })
  const controller = new AbortController()
  const scores = scoreInProcess(task, controller.signal)
  setImmediate(() => controller.abort())
  await t.rejects(scores, { code: 'cancelled' })
})

t.test('a failure over there is a failure here', async (t) => {
  const broken = { ...task, references: [['x']] }
  await t.rejects(scoreInProcess(broken, forever), { message: /expected scores, got exit code 1/ })
})
