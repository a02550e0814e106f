/** Metrics of labels and scores: by hand, and against values computed elsewhere where they are at hand. */
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import t, { type Test } from 'tap'
import { interval95, pairedComparison } from '../../src/evaluation/bootstrap.ts'
import { labelMetrics } from '../../src/evaluation/label-metrics.ts'

const near = (t: Test, found: number, wanted: number) => t.ok(Math.abs(found - wanted) < 1e-12, `${found} is ${wanted}`)

t.test('binary metrics take class 1 as the positive one', (t) => {
  const labels = [1, 1, 1, 0, 0, 0, 0, 0]
  const predictions = [1, 1, 0, 1, 0, 0, 0, 0]
  near(t, labelMetrics.accuracy.score(predictions, labels), 6 / 8)
  near(t, labelMetrics.f1.score(predictions, labels), 4 / 6)
  near(t, labelMetrics.matthews.score(predictions, labels), (2 * 4 - 1) / Math.sqrt(3 * 3 * 5 * 5))
  t.end()
})

t.test('equal scores share the mean of their ranks', (t) => {
  // Ranks 1, 2.5, 2.5, 4 against 1, 3, 2, 4: covariance 4.5, spreads 4.5 and 5.
  near(t, labelMetrics.spearman.score([10, 20, 20, 30], [1, 30, 2, 400]), 4.5 / Math.sqrt(4.5 * 5))
  near(t, labelMetrics.spearman.score([1, 2, 3], [1, 8, 27]), 1)
  near(t, labelMetrics.spearman.score([3, 2, 1], [1, 8, 27]), -1)
  t.end()
})

t.test('correlation does not suffer from a large mean', (t) => {
  const values = [1, 2, 4, 3]
  const far = values.map((value) => value + 1e9)
  near(t, labelMetrics.pearson.score(far, [2, 4, 6, 7]), labelMetrics.pearson.score(values, [2, 4, 6, 7]))
  t.end()
})

t.test('predictions that do not vary have F1 and Matthews 0 and no correlation', (t) => {
  t.equal(labelMetrics.f1.score([0, 0, 0], [1, 0, 1]), 0)
  t.equal(labelMetrics.matthews.score([1, 1, 1], [1, 0, 1]), 0)
  t.same(labelMetrics.pearson.score([0.1, 0.1, 0.1], [1, 2, 3]), Number.NaN)
  t.same(labelMetrics.spearman.score([1, 2, 3], [2, 2, 2]), Number.NaN)
  t.end()
})

t.test('as many predictions as labels are needed, and at least one', (t) => {
  for (const { score } of Object.values(labelMetrics)) {
    t.throws(() => score([1, 0], [1]), { message: 'Expected as many predictions as labels, got 2 and 1' })
    t.throws(() => score([], []), RangeError)
  }
  t.end()
})

t.test('a correlation is resampled by its instances', (t) => {
  const labels = Float64Array.from({ length: 200 }, (_, i) => Math.sin(12.9898 * (i + 1)))
  const noise = labels.map((_, i) => Math.sin(78.233 * (i + 1)))
  const system = (share: number) => labels.map((label, i) => label + share * noise[i]!)
  const scoreOf = (predictions: Float64Array) => (indices?: Uint32Array) => {
    const drawn = (values: Float64Array) => (indices ? Float64Array.from(indices, (i) => values[i]!) : values)
    return labelMetrics.pearson.score(drawn(predictions), drawn(labels))
  }
  const [low, high] = interval95(200, scoreOf(system(0.5)))
  const whole = scoreOf(system(0.5))()
  // Fisher's interval of a correlation, about.
  const [expectedLow, expectedHigh] = [-1, 1].map((sign) =>
    Math.tanh(Math.atanh(whole) + (sign * 1.96) / Math.sqrt(197)),
  )
  t.ok(Math.abs(low - expectedLow!) < 0.02 && Math.abs(high - expectedHigh!) < 0.02, `${low} ${high}`)
  const { difference, pValue } = pairedComparison(200, scoreOf(system(0.5)), scoreOf(system(1)))
  t.equal(difference, whole - scoreOf(system(1))())
  t.equal(pValue, 0)
  const worse = pairedComparison(200, scoreOf(system(0.5)), scoreOf(system(1)), { higherIsBetter: false })
  t.equal(worse.pValue, 1, 'an error that is higher does not beat')
  t.same(
    interval95(3, () => Number.NaN),
    [Number.NaN, Number.NaN],
  )
  t.end()
})

const vectors = resolve(import.meta.dirname, '../../../shared/data/metric-vectors/glue.json')
if (existsSync(vectors)) {
  type Vector = Readonly<Record<string, number>> & { readonly labels: number[]; readonly preds: number[] }
  const { binary, regression } = JSON.parse(readFileSync(vectors, 'utf8')) as Readonly<Record<string, Vector>>
  for (const [name, vector] of [
    ...(['accuracy', 'f1', 'matthews'] as const).map((name) => [name, binary!] as const),
    ...(['pearson', 'spearman'] as const).map((name) => [name, regression!] as const),
  ]) {
    t.test(`${name} of the reference vectors`, (t) => {
      near(t, labelMetrics[name].score(vector.preds, vector.labels), vector[name]!)
      t.end()
    })
  }
}
