/** ROUGE-L and CIDEr against values worked out by hand and against the official code's. */
import t from 'tap'
import { cider, ciderScores } from '../../src/evaluation/cider.ts'
import { metrics, score } from '../../src/evaluation/metrics.ts'
import { rougeL, rougeLOf } from '../../src/evaluation/rouge-l.ts'
import { goldenCaptions, officialE2e } from '../fixtures/caption-metrics.ts'
import { hasVectors, readE2eSystem, readVectorJson, readVectorLines } from '../fixtures/metric-vectors.ts'

const near = (a: number, b: number, tolerance = 1e-12) => Math.abs(a - b) <= tolerance
const words = (text: string) => text.split(' ')
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

t.test('precision and recall may come from two references', (t) => {
  // Of 4 words all 4 are in the long reference (precision 1), and the short one is found whole (recall 1).
  t.equal(rougeLOf(words('a b c d'), [words('a b c d e f g h'), words('a b')]), 1)
  // 2 of 4 words in order, of a reference of 3.
  const [precision, recall] = [2 / 4, 2 / 3]
  t.equal(rougeLOf(words('a x b y'), [words('z a b')]), (2.44 * precision * recall) / (recall + 1.44 * precision))
  t.end()
})

t.test('what all instances say is worth nothing, what one says is worth its rareness', (t) => {
  const all = words('it is a pub')
  t.same(ciderScores([all, all], [[all], [all]]), [0, 0])
  const own = [words('one two three four five'), words('six seven eight nine ten')]
  const scores = ciderScores(
    own,
    own.map((text) => [text]),
  )
  t.ok(scores.every((value) => near(value, 10)))
  t.same(ciderScores([words('only one')], [[words('only one')]]), [0], 'one instance has no rare words')
  t.end()
})

t.test('another length costs, and repeated words count no more often than in the reference', (t) => {
  const references = [[words('red fox')], [words('grey owl')]]
  const [repeated = 0] = ciderScores([words('red red red fox'), words('x')], references)
  // In units of ln 2: unigrams (3, 1) against (1, 1), clipped 2 / (sqrt 10 sqrt 2); bigrams 1 / sqrt 3, of them 1 in 3.
  const cosines = 2 / Math.sqrt(20) + 1 / Math.sqrt(1 + 2 ** 2)
  t.ok(near(repeated, (10 * Math.exp(-(2 ** 2) / 72) * cosines) / 4), `${repeated}`)
  t.end()
})

t.test('made-up outputs score as the official code has it, empty ones too', (t) => {
  const { hypotheses, references, scores, corpus } = goldenCaptions
  for (const [name, metric] of [['rouge_l', rougeL] as const, ['cider', cider] as const]) {
    const values = metric.instances(hypotheses, references).map((counts) => metric.combine(counts))
    for (const [i, value] of values.entries()) {
      t.ok(
        near(value, scores[name][i] as number),
        `${name} of '${hypotheses[i]}' is ${value}, expected ${scores[name][i]}`,
      )
    }
    t.ok(near(score(metrics[name], hypotheses, references), corpus[name]), name)
  }
  t.end()
})

if (hasVectors) {
  type Expected = Record<string, { pretok_rouge_l: number; pretok_cider: number }>
  const expected = readVectorJson<Expected>('e2e/expected.json')
  for (const system of ['tgen', 'slug']) {
    t.test(`the official numbers of ${system} on tokens that are given`, (t) => {
      const lines = readVectorLines(`e2e/pretok_${system}.json.gz`)
      const instances = JSON.parse(lines.join('\n')) as { hyp: string; refs: string[] }[]
      const hypotheses = instances.map(({ hyp }) => words(hyp))
      const references = instances.map(({ refs }) => refs.map(words))
      const rouge = mean(hypotheses.map((hypothesis, i) => rougeLOf(hypothesis, references[i] ?? [])))
      t.ok(near(rouge, expected[system]?.pretok_rouge_l as number), `${rouge}`)
      const consensus = mean(ciderScores(hypotheses, references))
      t.ok(near(consensus, expected[system]?.pretok_cider as number), `${consensus}`)
      t.end()
    })
  }

  for (const [system, official] of Object.entries(officialE2e)) {
    t.test(`the official ROUGE-L and CIDEr of the E2E challenge system ${system}`, (t) => {
      const { hypotheses, references } = readE2eSystem(system as keyof typeof officialE2e)
      for (const name of ['rouge_l', 'cider'] as const) {
        const value = score(metrics[name], hypotheses, references)
        t.ok(near(value, official[name]), `${name} is ${value}, expected ${official[name]}`)
      }
      t.end()
    })
  }
}
