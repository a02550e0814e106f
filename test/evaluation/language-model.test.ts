/** Perplexity, and token agreement with the top rank. */
import t from 'tap'
import { agreementInstance, agreementOf, perplexity } from '../../src/evaluation/language-model.ts'
import { sumCounts } from '../../src/evaluation/metrics.ts'

t.test('perplexity is the number of equally likely tokens that would lose as much', (t) => {
  t.ok(Math.abs(perplexity(Math.log(37)) - 37) < 1e-12)
  t.equal(perplexity(0), 1)
  t.end()
})

t.test('agreement counts positions with the same token, out of those of the longer output', (t) => {
  const words = (text: string) => text.split(' ')
  t.same([...agreementInstance(words('a cheap pub near it'), words('a nice pub'))], [2, 5])
  t.same([...agreementInstance([7, 8, 9], [8, 9])], [0, 3], 'nothing is aligned')
  t.same([...agreementInstance([], [1, 2])], [0, 2])
  const instances = [agreementInstance([1, 2, 3, 4], [1, 2, 3, 4]), agreementInstance([1, 2], [1, 3])]
  t.equal(agreementOf(sumCounts(instances)), 5 / 6)
  t.equal(agreementOf(agreementInstance([], [])), 1)
  t.end()
})
