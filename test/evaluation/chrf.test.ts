/** chrF against values worked out by hand and against sacrebleu's. */
import t from 'tap'
import { chrf, chrfPlusPlus, chrfPlusPlusPy } from '../../src/evaluation/chrf.ts'
import { metrics, score } from '../../src/evaluation/metrics.ts'
import { golden, goldenHypotheses, goldenReferences } from '../fixtures/text-metrics.ts'

const near = (a: number, b: number) => Math.abs(a - b) < 1e-10

t.test('precision and recall are means over the orders that both sides have, recall weighs more', (t) => {
  // "abcd" for "abxd e", without blanks: 3 of 4 and 5 characters, 1 of 3 and 4 pairs, none of 2 and 3, none of 1 and 2.
  const precision = (3 / 4 + 1 / 3) / 4
  const recall = (3 / 5 + 1 / 4) / 4
  const expected = (100 * 5 * precision * recall) / (4 * precision + recall)
  t.ok(near(score(chrf, ['ab cd'], [['abxd e']]), expected))
  t.end()
})

t.test('chrF++ adds words and pairs of words, with punctuation split off', (t) => {
  const [counts] = chrfPlusPlus.instances(['(so it is).'], [['it is so!']])
  // "(", "so", "it", "is)" and "."; of "it", "is", "so" and "!" two are there, and no pair.
  t.same([...(counts ?? [])].slice(18), [5, 4, 2, 4, 3, 0])
  t.end()
})

t.test('chrF++.py takes the mean of the F of all orders, and leaves blanks other than spaces', (t) => {
  const f = (precision: number, recall: number) => (5 * precision * recall) / (4 * precision + recall)
  // Of "ab" and "abc": 2 of 2 and 3 characters, 1 of 1 and 2 pairs, no triple; no word.
  t.ok(near(score(chrfPlusPlusPy, ['a b'], [['abc']]), (100 * (f(1, 2 / 3) + f(1, 1 / 2))) / 8))
  t.equal(chrfPlusPlusPy.instances(['a\u00a0b'], [['ab']])[0]?.[0], 3)
  t.end()
})

t.test('the counts of an instance are those of its best reference, and instances are summed', (t) => {
  const best = chrf.instances(['abc'], [['abc']])[0]
  t.same(chrf.instances(['abc'], [['xyz', 'abc', 'abcd']])[0], best)
  // 3 + 3 characters of which 3, 2 + 2 pairs of which 2, 1 + 1 triples of which 1.
  t.ok(near(score(chrf, ['abc', 'def'], [['abc'], ['xyz']]), 50))
  t.end()
})

t.test('a character beyond the basic plane is one character', (t) => {
  t.same([...(chrf.instances(['🍕a'], [['🍕b']])[0] ?? [])].slice(0, 6), [2, 2, 1, 1, 1, 0])
  t.end()
})

t.test('nothing on either side gives zero', (t) => {
  for (const [hypothesis, reference] of [
    ['', 'a'],
    ['a', ''],
    ['', ''],
    ['a', 'b'],
  ] as const) {
    t.equal(score(chrf, [hypothesis], [[reference]]), 0)
    t.equal(score(chrfPlusPlus, [hypothesis], [[reference]]), 0)
    t.equal(score(chrfPlusPlusPy, [hypothesis], [[reference]]), 0)
  }
  t.end()
})

t.test("sacrebleu's own numbers, text by text and of them all", (t) => {
  for (const name of ['chrf', 'chrf_plus_plus', 'chrf_plus_plus_py'] as const) {
    for (const { hypothesis, references, scores } of golden.cases) {
      const value = score(metrics[name], [hypothesis], [references])
      t.ok(near(value, scores[name]), `${name} of '${hypothesis}' is ${value}, expected ${scores[name]}`)
    }
    t.ok(near(score(metrics[name], goldenHypotheses, goldenReferences), golden.corpus[name]), name)
  }
  t.end()
})
