/** `dylora evaluate` from an adapter and a reference file to the curve in the adapter's directory. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { baseOfAdapter } from '../../src/cli/base-directory.ts'
import { run } from '../../src/cli/evaluate.ts'
import { readAdapter, writeAdapter } from '../../src/dylora/adapter-directory.ts'
import { importCheckpoint } from '../../src/dylora/import.ts'
import { lossPoint } from '../../src/evaluation/curve.ts'
import { metrics, score } from '../../src/evaluation/metrics.ts'
import { randomAdapter } from '../fixtures/adapters.ts'
import { fixturePath } from '../fixtures/golden.ts'

const rows = ['Elm', 'Oak', 'Fig'].map((name) => ({
  context: `name : ${name}`,
  references: [`${name} is a pub .`, 'A pub .'],
}))

/** An adapter of rank 2 with its base and data, and the arguments that name them. */
async function inns(t: Test) {
  const directory = t.testdir({ 'inns.jsonl': rows.map((row) => JSON.stringify(row)).join('\n') })
  const [base, adapter, data] = ['base', 'a', 'inns.jsonl'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ]
  const { base: imported } = await importCheckpoint(fixturePath('gpt2'), base)
  const trained = { ...lossPoint({ rank: 2, dataset: 'inns', split: 'validation' }, 5, 3), primary: true }
  const { digest } = await writeAdapter(
    adapter,
    randomAdapter(1, 2, { baseDigest: imported.digest, quality: [trained] }),
  )
  const said = t.capture(console, 'log')
  const told = t.capture(process.stderr, 'write')
  const args = ['--base', base, '--adapter', adapter, '--data', data, '--max-new-tokens', '8', '--threads', '1']
  const lines = () => said().flatMap(({ args: [text] }) => String(text).split('\n'))
  return { directory, base, adapter, data, digest, args, lines, told }
}

t.test('every rank is measured and the curve is written beside what was there', async (t) => {
  const { directory, adapter, digest, args, lines } = await inns(t)
  const bleu = [...args, '--metrics', 'bleu']
  t.equal(await run([...bleu, '--split', 'validation', '--outputs', join(directory, 'out')]), 0)
  t.equal(await run([...bleu, '--split', 'test', '--ranks', '2', '--loss-examples', '0']), 0)
  const { quality, digest: after } = await readAdapter(adapter)
  t.equal(after, digest, 'the measurement changes nothing of what is served')
  t.same(
    quality.map(({ metric, rank, split, n, primary }) => [metric, rank, split, n, primary]),
    [
      ['bleu', 0, 'validation', 3, false],
      ['loss', 0, 'validation', 6, false],
      ['perplexity', 0, 'validation', 6, false],
      ['bleu', 1, 'validation', 3, true],
      ['loss', 1, 'validation', 6, false],
      ['perplexity', 1, 'validation', 6, false],
      ['bleu', 2, 'validation', 3, true],
      ['loss', 2, 'validation', 6, false],
      ['perplexity', 2, 'validation', 6, false],
      ['bleu', 2, 'test', 3, false],
    ],
  )
  t.match(lines(), [
    /^rank {2}0 {2}bleu .* {2}loss \d.* {2}perplexity \d/,
    /^rank {2}1/,
    /^rank {2}2/,
    /^AURAC of bleu over log2\(rank\): [\d.]+$/,
    /^rank {2}2 {2}bleu [\d.]+ \[[\d.]+, [\d.]+\]$/,
    /^AURAC/,
  ])
  t.same(
    (await readdir(join(directory, 'out'))).sort(),
    [0, 1, 2].map((rank) => `inns-validation-max_new_tokens=8-rank-${rank}.txt`),
  )
  t.equal(
    (await readFile(join(directory, 'out/inns-validation-max_new_tokens=8-rank-1.txt'), 'utf8')).split('\n').length,
    4,
  )
  t.same(
    await readdir(join(adapter, 'outputs')),
    ['inns-test-max_new_tokens=8-rank-2.txt'],
    'by default they lie in the adapter',
  )
})

t.test('the same command gives the same numbers, and the outputs beside the curve give them again', async (t) => {
  const { adapter, args } = await inns(t)
  await run(args)
  const { quality } = await readAdapter(adapter)
  await run([...args, '--limit', '2'])
  t.notSame((await readAdapter(adapter)).quality, quality)
  await run(args)
  t.same((await readAdapter(adapter)).quality, quality)
  t.equal(quality.length, 21, 'three ranks, five metrics, loss and perplexity')
  const texts = (await readFile(join(adapter, 'outputs/inns-validation-max_new_tokens=8-rank-2.txt'), 'utf8'))
    .split('\n')
    .slice(0, -1)
  const references = rows.map((row) => row.references)
  for (const name of ['bleu', 'nist', 'meteor', 'rouge_l', 'cider'] as const) {
    const point = quality.find(({ rank, metric }) => rank === 2 && metric === name)
    t.equal(point?.value, score(metrics[name], texts, references), name)
  }
})

t.test('a search is measured beside greedy texts, in one object on demand', async (t) => {
  const { adapter, args, lines } = await inns(t)
  await run([...args, '--metrics', 'bleu'])
  const { quality: greedy } = await readAdapter(adapter)
  const search = ['--num-beams', '3', '--length-penalty', '0.8', '--no-repeat-ngram-size', '2']
  await run([...args, '--metrics', 'bleu,token_agreement', '--loss-examples', '0', '--json', ...search])
  const { quality } = await readAdapter(adapter)
  t.same(quality.slice(0, greedy.length), greedy, 'no greedy point is touched')
  const decoding = 'num_beams=3 length_penalty=0.8 no_repeat_ngram_size=2 max_new_tokens=8'
  const fresh = quality.slice(greedy.length)
  t.equal(fresh.length, 6)
  for (const point of fresh) t.match(point, { decoding, primary: false })
  t.match(fresh.at(-1), { rank: 2, metric: 'token_agreement', value: 1 })
  const told = JSON.parse(lines().at(-1) ?? '')
  t.match(told, { dataset: 'inns', split: 'validation', decoding, contexts: 3, outputs: join(adapter, 'outputs') })
  t.same(
    told.points.map(({ value }: { value: number }) => value),
    fresh.map(({ value }) => value),
    'unrounded',
  )
  t.equal((await readdir(join(adapter, 'outputs'))).length, 6, 'outputs of both lie there')
})

t.test('progress is JSON lines where there is no terminal', async (t) => {
  const { args, told } = await inns(t)
  await run([...args, '--metrics', 'bleu', '--ranks', '1,2'])
  const events = told()
    .flatMap(({ args: [text] }) => String(text).trim().split('\n'))
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
  t.match(events.at(-1), { event: 'evaluation', dataset: 'inns', split: 'validation', done: 6, total: 6 })
})

t.test('what is wrong is one line, before anything is measured', async (t) => {
  const { directory, adapter, args } = await inns(t)
  const before = await readFile(join(adapter, 'dylora.json'), 'utf8')
  const given = async (name: string, content: string | Buffer) => {
    await writeFile(join(directory, name), content)
    return run([...args, '--data', join(directory, name)])
  }
  const bare = JSON.stringify({ context: 'name : Elm' })
  await t.rejects(given('bare.jsonl', bare), { code: 'dataset_invalid', message: /line 1: expected {"context"/ })
  const blank = JSON.stringify({ context: 'name : Elm', references: [' '] })
  await t.rejects(given('blank.jsonl', blank), { message: /a reference of context 'name : Elm', got blank ones only/ })
  const latin = Buffer.from('name : Caf\xe9||A pub .', 'latin1')
  await t.rejects(given('latin.txt', latin), { message: /line 1: expected text in UTF-8, got the byte 0xe9/ })
  await t.rejects(given('empty.jsonl', '\n'), { message: /expected at least one example, got none/ })
  await t.rejects(run([...args, '--data', join(directory, 'none.jsonl')]), { code: 'dataset_invalid' })
  await t.rejects(run([...args, '--ranks', '1,3']), { code: 'rank_not_allowed', message: /Rank 3 .*0, 1, 2/ })
  await t.rejects(run([...args, '--ranks', '1', '--metrics', 'token_agreement']), {
    code: 'validation',
    message: /token_agreement compares with rank 2/,
  })
  t.equal(await readFile(join(adapter, 'dylora.json'), 'utf8'), before)
})

t.test('an adapter of another base is refused', async (t) => {
  const { directory, adapter, args } = await inns(t)
  await writeAdapter(adapter, randomAdapter(1, 2, { baseDigest: `sha256:${'0'.repeat(64)}` }))
  await t.rejects(run(args), { code: 'adapter_invalid' })
  await t.rejects(baseOfAdapter(undefined, directory, await readAdapter(adapter)), {
    code: 'adapter_invalid',
    message: /its base .* is not in .*: --base tells where it is/,
  })
})

t.test('the base is found by its digest', async (t) => {
  const { directory, base, adapter } = await inns(t)
  t.equal(await baseOfAdapter(undefined, directory, await readAdapter(adapter)), base)
  t.equal(await baseOfAdapter('elsewhere', directory, await readAdapter(adapter)), 'elsewhere')
})

t.test('help is printed', async (t) => {
  const said = t.capture(console, 'log')
  t.equal(await run(['--help']), 0)
  t.match(said()[0]?.args[0], /^Usage: dylora evaluate/)
})
