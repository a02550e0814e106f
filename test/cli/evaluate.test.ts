/** `dylora evaluate` from an adapter and a reference file to the curve in the adapter's directory. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { run } from '../../src/cli/evaluate.ts'
import { readAdapter, writeAdapter } from '../../src/dylora/adapter-directory.ts'
import { importCheckpoint } from '../../src/dylora/import.ts'
import { lossPoint } from '../../src/evaluation/curve.ts'
import { randomAdapter } from '../fixtures/adapters.ts'
import { fixturePath } from '../fixtures/golden.ts'

const rows = ['Elm', 'Oak', 'Fig'].map((name) => ({
  context: `name : ${name}`,
  references: [`${name} is a pub .`, 'A pub .'],
}))

t.test('every rank is measured and the curve is written beside what was there', async (t) => {
  const directory = t.testdir({ 'inns.jsonl': rows.map((row) => JSON.stringify(row)).join('\n') })
  const base = join(directory, 'base')
  const adapter = join(directory, 'a')
  const { base: imported } = await importCheckpoint(fixturePath('gpt2'), base)
  const trained = { ...lossPoint({ rank: 2, dataset: 'inns', split: 'validation' }, 5, 3), primary: true }
  const { digest } = await writeAdapter(
    adapter,
    randomAdapter(1, 2, { baseDigest: imported.digest, quality: [trained] }),
  )
  const said = t.capture(console, 'log')
  t.capture(console, 'error')
  const args = ['--base', base, '--adapter', adapter, '--data', join(directory, 'inns.jsonl'), '--max-new-tokens', '8']
  t.equal(await run([...args, '--split', 'validation', '--outputs', join(directory, 'out')]), 0)
  t.equal(await run([...args, '--split', 'test', '--ranks', '2', '--loss-examples', '0']), 0)
  const { quality, digest: after } = await readAdapter(adapter)
  t.equal(after, digest, 'the measurement changes nothing of what is served')
  t.same(
    quality.map(({ metric, rank, split, n, primary }) => [metric, rank, split, n, primary]),
    [
      ['bleu', 0, 'validation', 3, false],
      ['loss', 0, 'validation', 6, false],
      ['bleu', 1, 'validation', 3, true],
      ['loss', 1, 'validation', 6, false],
      ['bleu', 2, 'validation', 3, true],
      ['loss', 2, 'validation', 6, false],
      ['bleu', 2, 'test', 3, false],
    ],
  )
  t.match(
    said().map(({ args: [line] }) => line),
    [/^rank {2}0 {2}bleu .* {2}loss \d/, /^rank {2}1/, /^rank {2}2/, /^rank {2}2 {2}bleu [\d.]+ \[[\d.]+, [\d.]+\]$/],
  )
  t.same(
    (await readdir(join(directory, 'out'))).sort(),
    [0, 1, 2].map((rank) => `inns-validation-rank-${rank}.txt`),
  )
  t.equal((await readFile(join(directory, 'out/inns-validation-rank-1.txt'), 'utf8')).split('\n').length, 4)
})

t.test('an adapter of another base is refused', async (t) => {
  const directory = t.testdir({ 'inns.jsonl': JSON.stringify(rows[0]) })
  await importCheckpoint(fixturePath('gpt2'), join(directory, 'base'))
  await writeAdapter(join(directory, 'a'), randomAdapter(1, 2, { baseDigest: `sha256:${'0'.repeat(64)}` }))
  const args = ['--base', join(directory, 'base'), '--adapter', join(directory, 'a'), '--split', 'test']
  await t.rejects(run([...args, '--data', join(directory, 'inns.jsonl')]), { code: 'adapter_invalid' })
})

t.test('help is printed', async (t) => {
  const said = t.capture(console, 'log')
  t.equal(await run(['--help']), 0)
  t.match(said()[0]?.args[0], /^Usage: dylora evaluate/)
})
