/** Confidence intervals by resampling instances. */
import t from 'tap'
import { confidence95, pairedBootstrap } from '../../src/evaluation/bootstrap.ts'

/** Counts of a plain mean: sum and number. */
const rows = (values: readonly number[]) => values.map((value) => Float64Array.of(value, 1))
const mean = (counts: Float64Array) => (counts[0] as number) / (counts[1] as number)
const normal = Array.from({ length: 400 }, (_, i) => Math.sin(12.9898 * (i + 1)) * 10 + 50)

t.test('the interval of a mean is that of its standard error', (t) => {
  const [low, high] = confidence95(rows(normal), mean, { resamples: 2000 })
  const centre = mean(
    Float64Array.of(
      normal.reduce((a, b) => a + b),
      normal.length,
    ),
  )
  const variance = normal.reduce((sum, value) => sum + (value - centre) ** 2, 0) / normal.length
  const halfWidth = 1.96 * Math.sqrt(variance / normal.length)
  t.ok(Math.abs(low - (centre - halfWidth)) < 0.15 * halfWidth)
  t.ok(Math.abs(high - (centre + halfWidth)) < 0.15 * halfWidth)
  t.end()
})

t.test('the same seed gives the same interval, another seed another', (t) => {
  const draw = (seed: number) => confidence95(rows(normal), mean, { seed })
  t.same(draw(1), draw(1))
  t.notSame(draw(1), draw(2))
  t.end()
})

t.test('a small but steady gain is sure, for the two are compared on the same instances', (t) => {
  const better = pairedBootstrap(rows(normal.map((value) => value + 0.1)), rows(normal), mean)
  t.ok(Math.abs(better.difference - 0.1) < 1e-9)
  t.equal(better.pValue, 0)
  t.ok(better.ci95[0] > 0.09 && better.ci95[1] < 0.11)
  t.equal(pairedBootstrap(rows(normal), rows(normal), mean).pValue, 1)
  t.throws(() => pairedBootstrap(rows([1]), rows([1, 2]), mean), RangeError)
  t.end()
})
