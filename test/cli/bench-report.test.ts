/** What benchmarks print. */
import t from 'tap'
import { median, report } from '../../src/cli/bench-report.ts'

t.test('the median is the middle, or between the two middle ones', async (t) => {
  t.equal(median([3, 1, 2]), 2)
  t.equal(median([4, 1, 3, 2]), 2.5)
})

t.test('a report names machine and versions and aligns its table', async (t) => {
  const text = report(
    'demo',
    [
      { case: 'one', rate: 1.234 },
      { case: 'longer', rate: 1234.5 },
    ],
    false,
  )
  t.match(text, /^demo: medians; cpu .*cores \d+.*node v\d+.*onnxruntime 1\.30\.0/)
  t.match(text, /\| case {3}\| rate \|\n\|-+\|-+\|\n\| one {4}\| 1\.23 \|\n\| longer \| 1235 \|/)
})

t.test('JSON has everything unrounded', async (t) => {
  t.match(JSON.parse(report('demo', [{ rate: 1.23456 }], true)), {
    benchmark: 'demo',
    machine: { onnxruntime: '1.30.0' },
    rows: [{ rate: 1.23456 }],
  })
})
