/** Every benchmark at its quick size: what it measures is there, and is a number. */
import t from 'tap'
import { benchAdapters } from '../../../src/cli/bench/adapters.ts'
import { benchLora } from '../../../src/cli/bench/lora.ts'
import { benchProfile } from '../../../src/cli/bench/profile.ts'
import type { Findings } from '../../../src/cli/bench/report.ts'
import { scales } from '../../../src/cli/bench/scale.ts'
import { benchServe } from '../../../src/cli/bench/serve.ts'
import { benchSoak } from '../../../src/cli/bench/soak.ts'

const options = { scale: scales.quick, rounds: 1, threads: 1 }

/** Numbers of every cell; a column of a case that was never measured would be NaN. */
function expectNumbers(
  t: Pick<typeof import('tap')['default'], 'ok' | 'notOk'>,
  { tables, goals = [] }: Findings,
): void {
  const cells = tables.flatMap(({ rows }) => rows.flatMap((row) => Object.values(row)))
  t.ok(cells.every((cell) => typeof cell === 'string' || Number.isFinite(cell)))
  t.notOk(JSON.stringify({ cells, goals }).includes('NaN'))
  t.ok(goals.length > 0)
}

t.test('serve: all traffics at all numbers of streams, prefill, what surrounds the model, and load', async (t) => {
  const findings = await benchServe(options)
  const [decode, prefill, overhead, load] = findings.tables
  expectNumbers(t, findings)
  t.equal(decode?.rows.length, scales.quick.streams.length * 5)
  t.equal(prefill?.rows.length, scales.quick.prefills.length * 2)
  t.same(
    overhead?.rows.map(({ what }) => what),
    ['bare model', 'engine, greedy', 'HTTP stream, greedy', 'engine, top-k 50', 'HTTP stream, top-k 50'],
  )
  t.equal(load?.rows.length, 4)
})

t.test('lora: every rank and set of modules, at one row and at several', async (t) => {
  const findings = await benchLora(options)
  const [ranks, modules, constant] = findings.tables
  expectNumbers(t, findings)
  t.equal(ranks?.rows.length, 2 * (2 + scales.quick.ranks.length))
  t.equal(modules?.rows.length, 2 * 4)
  t.equal(constant?.rows.length, 2 * 3)
})

t.test('adapters: a row for each number of adapters that are loaded', async (t) => {
  const findings = await benchAdapters(options)
  expectNumbers(t, findings)
  t.same(
    findings.tables[0]?.rows.map(({ adapters }) => adapters),
    scales.quick.residents,
  )
})

t.test('soak: memory at ten moments of each kind of coming and going', async (t) => {
  const findings = await benchSoak(options)
  expectNumbers(t, findings)
  t.same(
    findings.tables[0]?.rows.map(({ cycles }) => cycles),
    Array.from({ length: 3 }, () => [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]).flat(),
  )
  t.ok(findings.tables[0]?.rows.every((row) => Number(row['resident set']) > 1))
})

t.test('profile: the parts of a step add up to it', async (t) => {
  const findings = await benchProfile(options)
  const rows = findings.tables[0]?.rows ?? []
  t.equal(rows.length, 2 * 2 * 8)
  for (let first = 0; first < rows.length; first += 8) {
    const shares = rows.slice(first, first + 8).map(({ share }) => Number(share))
    t.ok(Math.abs(shares.reduce((sum, share) => sum + share, 0) - 1) < 1e-9)
    t.ok(
      shares.slice(0, 3).every((share) => share > 0),
      'head, products and attention were found',
    )
  }
})
