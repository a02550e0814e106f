/** The quality curve: one point for each rank, split and metric. */
import t from 'tap'
import { auracOf, lossPoint, mergeCurve } from '../../src/evaluation/curve.ts'
import { type EvaluationSet, evaluateAdapter } from '../../src/evaluation/evaluate.ts'

const reference = 'the old mill serves Greek food by the river'
const groups = Array.from({ length: 6 }, (_, i) => ({
  context: `name : ${i}`,
  references: [`${reference} ${i}`, reference],
}))
const validation: EvaluationSet = { name: 'mills', split: 'validation', groups }
const test: EvaluationSet = { name: 'mills', split: 'test', groups }

/** Says more of the reference at a higher rank. */
const generate = async (context: string, rank: number) =>
  `${[...reference.split(' '), context.at(-1)].slice(0, 4 + rank).join(' ')} `

t.test('every rank and split gets its points, and only a real rank on validation is primary', async (t) => {
  const loss = async (_set: EvaluationSet, rank: number) => ({ value: 3 - rank, n: 6 })
  const { points, outputs } = await evaluateAdapter({ ranks: [0, 1, 2], datasets: [validation, test], generate, loss })
  t.equal(points.length, 18)
  t.equal(outputs.length, 6)
  t.same(outputs[0]?.hypotheses[0], 'the old mill serves', 'blanks at the ends are no output')
  const bleu = points.filter(({ metric }) => metric === 'bleu')
  t.same(
    bleu.filter(({ primary }) => primary).map(({ rank, split }) => [rank, split]),
    [
      [1, 'validation'],
      [2, 'validation'],
    ],
  )
  const values = bleu.filter(({ split }) => split === 'test').map(({ value }) => value)
  t.same(
    values,
    values.toSorted((a, b) => a - b),
  )
  for (const { value, ci95, n } of bleu) {
    t.ok(ci95 !== null && ci95[0] <= value + 1e-9 && value <= ci95[1] + 1e-9)
    t.equal(n, 6)
  }
  t.match(
    points.find(({ metric }) => metric === 'loss'),
    { value: 3, ci95: null, higherIsBetter: false, primary: false },
  )
})

t.test('no more generations run at once than asked for, and ranks are mixed among them', async (t) => {
  let running = 0
  let most = 0
  const seen: number[] = []
  const progress: number[] = []
  await evaluateAdapter({
    ranks: [1, 2, 3],
    datasets: [test],
    concurrency: 4,
    generate: async (context, rank) => {
      seen.push(rank)
      running += 1
      most = Math.max(most, running)
      await new Promise((resolve) => setImmediate(resolve))
      running -= 1
      return generate(context, rank)
    },
    onProgress: ({ done }) => progress.push(done),
  })
  t.equal(most, 4)
  t.same(seen.slice(0, 4), [1, 2, 3, 1])
  t.same(
    progress,
    Array.from({ length: 18 }, (_, i) => i + 1),
  )
})

t.test('the first failure ends the evaluation', async (t) => {
  let calls = 0
  const failing = async () => {
    calls += 1
    throw new Error('out of memory')
  }
  await t.rejects(evaluateAdapter({ ranks: [1], datasets: [test], concurrency: 2, generate: failing }), {
    message: 'out of memory',
  })
  t.ok(calls <= 2)
})

t.test('points of a new measurement replace those of the last one', async (t) => {
  const { points: old } = await evaluateAdapter({ ranks: [1, 2], datasets: [test], generate })
  const { points: fresh } = await evaluateAdapter({ ranks: [2], datasets: [test, validation], generate })
  const merged = mergeCurve(old, fresh)
  t.same(
    merged.map(({ rank, split }) => [rank, split]),
    [
      [1, 'test'],
      [2, 'test'],
      [2, 'validation'],
    ],
  )
  t.equal(merged[1], fresh[0])
  const loss = lossPoint({ rank: 1, dataset: 'mills', split: 'validation' }, 2, 6)
  t.equal(mergeCurve([{ ...loss, primary: true }], fresh)[0]?.primary, false, 'a split has one primary metric')
  t.equal(mergeCurve([{ ...loss, primary: true }], old)[0]?.primary, true)
})

t.test('perplexity comes with the loss', async (t) => {
  const loss = async () => ({ value: Math.log(20), n: 6 })
  const { points } = await evaluateAdapter({ ranks: [1], datasets: [test], generate, loss })
  const found = points.find(({ metric }) => metric === 'perplexity')
  t.match(found, { n: 6, ci95: null, higherIsBetter: false, primary: false })
  t.ok(Math.abs((found?.value ?? 0) - 20) < 1e-9)
})

t.test('tokens are compared with those of the top rank', async (t) => {
  const tokens = (text: string) => [...text].map((letter) => letter.charCodeAt(0))
  const says = async (_context: string, rank: number) => ['wxyz', 'abcz', 'abcd'][rank] as string
  const { points } = await evaluateAdapter({
    ...{ ranks: [0, 1, 2], datasets: [validation], generate: says, tokens },
    metrics: ['bleu', 'token_agreement'],
  })
  const agreement = points.filter(({ metric }) => metric === 'token_agreement')
  t.same(
    agreement.map(({ rank, value, primary }) => [rank, value, primary]),
    [
      [0, 0, false],
      [1, 0.75, false],
      [2, 1, false],
    ],
  )
})

t.test('texts of another decoding stand beside the greedy ones, and nothing goes by them', async (t) => {
  const { points: greedy } = await evaluateAdapter({ ranks: [1, 2], datasets: [validation], generate })
  const { points: searched } = await evaluateAdapter({
    ...{ ranks: [1, 2], datasets: [validation], generate },
    ...{ decoding: 'num_beams=10', primary: false },
  })
  t.same(
    mergeCurve(greedy, searched).map(({ rank, primary, decoding }) => [rank, primary, decoding]),
    [
      [1, true, undefined],
      [2, true, undefined],
      [1, false, 'num_beams=10'],
      [2, false, 'num_beams=10'],
    ],
  )
  t.same(mergeCurve(searched, searched), searched, 'the same decoding takes its own place')
  t.notOk('decoding' in greedy[0]!)
})

t.test('the area under the curve is over the ranks of the adapter', async (t) => {
  const { points } = await evaluateAdapter({ ranks: [0, 1, 2], datasets: [test], generate })
  const [, one, two] = points.map(({ value }) => value)
  t.equal(auracOf(points, 'bleu'), (one! + two!) / 2)
  t.equal(auracOf(points.slice(0, 1), 'bleu'), null)
})

t.test('a text is one line, as it is written down', async (t) => {
  const broken = async () => ' the old\nmill\t serves '
  const { outputs } = await evaluateAdapter({ ranks: [1], datasets: [test], generate: broken })
  t.equal(outputs[0]?.hypotheses[0], 'the old mill serves')
})
