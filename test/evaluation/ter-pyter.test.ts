/** pyter's TER against values worked out by hand and against pyter's own. */
import t from 'tap'
import { score } from '../../src/evaluation/metrics.ts'
import { terPyter } from '../../src/evaluation/ter-pyter.ts'
import { golden, goldenHypotheses, goldenReferences } from '../fixtures/text-metrics.ts'

const one = (hypothesis: string, ...references: string[]) => score(terPyter, [hypothesis], [references])

t.test('edits and shifts for each word of the best reference', (t) => {
  t.equal(one('a b c', 'a b c'), 0)
  t.equal(one('a b x', 'a b c'), 1 / 3)
  t.equal(one('c d e a b', 'a b c d e'), 1 / 5)
  t.equal(one('a b', 'x y z', 'a b c'), 1 / 3)
  t.equal(one('a b c d', 'a'), 3)
  t.end()
})

t.test('the corpus score is the mean over texts, whatever their lengths', (t) => {
  t.equal(score(terPyter, ['a', 'b c d'], [['a'], ['b c d e f g']]), (0 + 3 / 6) / 2)
  t.end()
})

t.test('a reference without words counts as 1', (t) => {
  t.equal(one('a b', ''), 1)
  t.equal(one('', ''), 1)
  t.equal(one('', 'a b'), 1)
  t.equal(one('a', '', 'a'), 0)
  t.end()
})

t.test("pyter's own numbers, text by text and of them all", (t) => {
  for (const { hypothesis, references, scores } of golden.cases) {
    const value = one(hypothesis, ...references)
    t.ok(Math.abs(value - scores.ter_pyter) < 1e-12, `'${hypothesis}' is ${value}, expected ${scores.ter_pyter}`)
  }
  t.ok(Math.abs(score(terPyter, goldenHypotheses, goldenReferences) - golden.corpus.ter_pyter) < 1e-12)
  t.end()
})
