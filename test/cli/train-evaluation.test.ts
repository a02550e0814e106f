/** `dylora train` with references: an adapter that appears with the curve that `evaluate` would write into it. */
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { run as evaluate } from '../../src/cli/evaluate.ts'
import { run as train } from '../../src/cli/train.ts'
import { readAdapter } from '../../src/dylora/adapter-directory.ts'
import { importCheckpoint } from '../../src/dylora/import.ts'
import { fixturePath } from '../fixtures/golden.ts'

const jsonLines = (rows: readonly object[]) => rows.map((row) => JSON.stringify(row)).join('\n')
const pairs = Array.from({ length: 12 }, (_, i) => ({ context: `name : ${i}`, completion: `${i} is a pub .` }))
const grouped = ['Elm', 'Oak'].map((name) => ({ context: `name : ${name}`, references: [`${name} is a pub .`] }))

async function places(t: Test) {
  const files = { 'train.jsonl': jsonLines(pairs), 'valid.jsonl': jsonLines(pairs.slice(0, 4)) }
  const references = { 'valid.references.jsonl': jsonLines(grouped), 'test.references.jsonl': jsonLines(grouped) }
  const directory = t.testdir({ ...files, ...references })
  const at = (name: string) => join(directory, name)
  await importCheckpoint(fixturePath('gpt2'), at('base'))
  t.capture(process.stderr, 'write')
  // Passed on, since results of tests go this way too.
  const written = t.capture(process.stdout, 'write', process.stdout.write.bind(process.stdout))
  t.capture(console, 'log')
  const told = () =>
    written()
      .flatMap(({ args: [text] }) => String(text).split('\n'))
      .filter((line) => line.startsWith('{"event"'))
      .map((line) => JSON.parse(line))
  const args = ['--base', at('base'), '--data', at('train.jsonl'), '--validation', at('valid.jsonl')]
  const short = ['--max-rank', '2', '--steps', '6', '--batch-size', '4', '--threads', '1']
  return { at, told, args: [...args, ...short] }
}

t.test('the curve comes with the adapter, and evaluating again changes nothing', async (t) => {
  const { at, told, args } = await places(t)
  const sets = ['--evaluate', at('valid.references.jsonl'), '--test', at('test.references.jsonl')]
  await train([...args, ...sets, '--metrics', 'bleu,rouge_l', '--out', at('a')])
  const { quality, digest } = await readAdapter(at('a'))
  const primary = quality.filter((point) => point.primary)
  t.same(
    primary.map(({ rank, split, metric }) => [rank, split, metric]),
    [
      [1, 'validation', 'bleu'],
      [2, 'validation', 'bleu'],
    ],
  )
  t.equal(quality.filter(({ split }) => split === 'test').length, 12, 'three ranks, two metrics, loss and perplexity')
  t.equal((await readdir(at('a/outputs'))).length, 6)
  t.match(told().at(-1), { event: 'written', digest, quality: { 'bleu at 1': Number, 'bleu at 2': Number } })
  const same = ['--adapter', at('a'), '--base', at('base'), '--metrics', 'bleu,rouge_l', '--threads', '1']
  for (const file of ['valid', 'test']) await evaluate([...same, '--data', at(`${file}.references.jsonl`)])
  const again = (await readAdapter(at('a'))).quality
  const sorted = (points: typeof quality) => points.map((point) => JSON.stringify(point)).sort()
  t.same(sorted(again), sorted(quality))
})

t.test('references that cannot be read stop the run before its first step', async (t) => {
  const { at, told, args } = await places(t)
  await t.rejects(train([...args, '--test', at('none.jsonl'), '--out', at('a')]), { code: 'dataset_invalid' })
  t.notOk(told().some(({ event }) => event === 'step'))
  t.notOk(existsSync(at('a')))
})

t.test('a run that is not getting better is ended, twice alike, and its record says where', async (t) => {
  const { at, told, args } = await places(t)
  // Steps this large soon make it worse.
  const early = [
    '--steps',
    '40',
    '--learning-rate',
    '5',
    '--clip',
    '0',
    '--validate-every',
    '2',
    '--early-stopping',
    '2',
  ]
  await train([...args, ...early, '--out', at('a')])
  await train([...args, ...early, '--out', at('b')])
  const [a, b] = [await readAdapter(at('a')), await readAdapter(at('b'))]
  t.equal(a.digest, b.digest)
  t.match(a.training, { earlyStopping: { every: 2, patience: 2, best: { step: Number, loss: Number } } })
  const [best] = told().filter(({ event }) => event === 'best')
  const looks = told().filter(({ event }) => event === 'validation')
  t.ok(looks.length < 2 * 20, 'it ended before its last step')
  const losses = a.quality.filter(({ metric, rank }) => metric === 'loss' && rank > 0).map(({ value }) => value)
  t.ok(
    Math.abs(losses.reduce((sum, loss) => sum + loss, 0) / losses.length - best.loss) < 1e-9,
    'the best is published',
  )
})
