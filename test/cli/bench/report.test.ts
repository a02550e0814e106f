/** What benchmarks print. */
import t from 'tap'
import { benchmarksDocument } from '../../../src/cli/bench/document.ts'
import { atLeast, atMost, median, quantile, report, runOf } from '../../../src/cli/bench/report.ts'

t.test('the median is the middle, or between the two middle ones', async (t) => {
  t.equal(median([3, 1, 2]), 2)
  t.equal(median([4, 1, 3, 2]), 2.5)
})

t.test('quantiles lie between the values in proportion', async (t) => {
  t.equal(quantile([10, 20, 30], 0.25), 15)
  t.equal(quantile([1, 2], 1), 2)
  t.ok(Number.isNaN(quantile([], 0.5)))
})

const run = runOf(
  'demo',
  { rounds: 3 },
  {
    tables: [
      {
        title: 'Cases',
        note: 'medians',
        rows: [
          { case: 'one', rate: 1.23456 },
          { case: 'longer', rate: 1234.5 },
        ],
      },
    ],
    goals: [atMost('a step', 1.05, 1.2), atLeast('throughput', 0.9, 0.95)],
  },
)

t.test('a report names machine, versions and settings, aligns its tables and says which goal is missed', async (t) => {
  const text = report(run, false)
  t.match(text, /^demo: cpu .*cores \d+.*node v\d+.*onnxruntime 1\.30\.0, rounds 3\n\nCases: medians\n/)
  t.match(text, /\| case {3}\| rate \|\n\| -+ \| -+ \|\n\| one {4}\| 1\.23 \|\n\| longer \| 1235 \|/)
  t.match(
    text,
    /\| a step {5}\| at most 1\.05 \| 1\.200 \| NO {2}\|\n\| throughput \| at least 0\.9 \| 0\.950 \| yes \|/,
  )
})

t.test('JSON has everything unrounded', async (t) => {
  t.match(JSON.parse(report(run, true)), {
    benchmark: 'demo',
    machine: { onnxruntime: '1.30.0' },
    settings: { rounds: 3 },
    tables: [{ rows: [{ rate: 1.23456 }, { rate: 1234.5 }] }],
    goals: [{ met: false }, { met: true }],
  })
})

t.test('the document has a section for each run, and refuses what is no run', async (t) => {
  const directory = t.testdir({ 'run.json': report(run, true), 'other.json': '{"benchmark": "demo"}' })
  const text = await benchmarksDocument([`${directory}/run.json`])
  t.match(
    text,
    /^# Benchmarks\n[\s\S]*## demo\n\n\d{4}-\d\d-\d\d; cpu .*; rounds 3\.\n[\s\S]*### Cases\n\nMedians\.\n\n\| case/,
  )
  await t.rejects(benchmarksDocument([`${directory}/other.json`]), {
    message: /other\.json: expected what a benchmark/,
  })
})
