/** `dylora experiment` on the tiny checkpoint, from three files to a report; killed and started again. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type MeasuredRun, readResults } from '../../../src/cli/experiment/results.ts'
import { run } from '../../../src/cli/experiment.ts'
import { importCheckpoint } from '../../../src/dylora/import.ts'
import { fixturePath } from '../../fixtures/golden.ts'

const names = ['Elm', 'Oak', 'Fig', 'Ash', 'Yew', 'Bay']
const lines = (some: readonly string[]): string =>
  some.map((name) => JSON.stringify({ context: `name : ${name}`, completion: `${name} is a pub .` })).join('\n')

interface Place {
  readonly directory: string
  readonly args: readonly string[]
}

async function place(directory: string): Promise<Place> {
  await importCheckpoint(fixturePath('gpt2'), join(directory, 'base'))
  const at = (name: string) => join(directory, name)
  const files = [
    '--base',
    at('base'),
    '--data',
    at('train.jsonl'),
    '--validation',
    at('valid.jsonl'),
    '--test',
    at('valid.jsonl'),
  ]
  return {
    directory,
    args: [...files, '--preset', 'small', '--max-rank', '2', '--batch-size', '4', '--max-new-tokens', '8'],
  }
}

const data = { 'train.jsonl': lines(names), 'valid.jsonl': lines(names.slice(0, 3)) }

/** All that does not depend on the clock. */
const measuredOf = (runs: readonly MeasuredRun[]) =>
  runs.map(({ cost: { seconds: _s, processorSeconds: _p, ...cost }, ...rest }) => ({ ...rest, cost }))

t.test('one command trains, measures and reports every method, and does nothing twice', async (t) => {
  const { directory, args } = await place(t.testdir(data))
  const [out, report] = [join(directory, 'out'), join(directory, 'docs', 'results.md')]
  const all = [...args, '--out', out, '--seeds', '7', '--steps', '6', '--parallel', '2', '--report', report]
  const some = [...all, '--runs', 'dylora-seed,recipe,lora-r,full']
  const said = t.capture(console, 'log')
  t.equal(await run(some), 0)
  const results = await readResults(join(out, 'results.json'))
  t.same(
    results.runs.flatMap(({ id, measured }) => measured.map(({ arm, rank }) => [id, arm, rank])),
    [
      ['lora-r1-seed7', 'lora', 1],
      ['lora-r2-seed7', 'lora', 2],
      ...['lora-cut-alpha-b', 'lora-cut-alpha-r', 'lora-svd'].flatMap((arm) => [
        ['lora-r2-seed7', arm, 1],
        ['lora-r2-seed7', arm, 2],
      ]),
      ...['dylora', 'recipe'].flatMap((arm) => [
        [`${arm}-seed7`, arm, 1],
        [`${arm}-seed7`, arm, 2],
      ]),
      ['full-seed7', 'full', 0],
    ],
  )
  t.same(results.missing, ['dylora-frozen-seed7', 'dylora-geometric-seed7', 'dylora-frozen-geometric-seed7'])
  checkNumbers(t, results.runs)
  t.same(
    results.comparisons.map(({ arm, rank }) => [arm, rank]),
    [
      ['dylora', 1],
      ['dylora', 2],
      ['recipe', 1],
      ['recipe', 2],
    ],
  )
  t.match(await readFile(report, 'utf8'), /^# Results\n[\s\S]*!\[BLEU on the test set/)
  const texts = await readFile(join(out, 'runs', 'lora-r2-seed7', 'outputs', 'lora-svd-rank-1.txt'), 'utf8')
  t.equal(texts.split('\n').length, 3 + 1, 'a text for each input')
  said()
  t.equal(await run(some), 0)
  const again = said().map(({ args: [line] }) => String(line))
  t.equal(again.filter((line) => line.endsWith('there already')).length, 5)
  t.notOk(
    again.some((line) => line.includes('training')),
    'nothing is trained again',
  )
  const { updated: _u, ...before } = results
  t.match(await readResults(join(out, 'results.json')), before)
  t.equal(await run([...all, '--wide', '--runs', 'lora-r1']), 0)
  const both = await readResults(join(out, 'results.json'))
  t.same(
    both.runs.map(({ id }) => id),
    [...results.runs.map(({ id }) => id), 'wide-lora-r1-seed7'],
    'the wide range comes beside it',
  )
  t.same(both.comparisons, results.comparisons)
  t.match(both.missing, ['wide-dylora-seed7', 'wide-recipe-seed7', 'wide-lora-r2-seed7', ...results.missing])
  t.match(await readFile(report, 'utf8'), /## Quality at every rank[\s\S]*## A wide range of ranks/)
})

/** At its own rank a LoRA that was cut is the LoRA; a cut below is not. */
function checkNumbers(t: Test, runs: readonly MeasuredRun[]): void {
  const measured = runs.flatMap((run) => run.measured)
  const loss = (arm: string, rank: number) =>
    measured.find((one) => one.arm === arm && one.rank === rank)?.loss ?? Number.NaN
  for (const arm of ['lora-cut-alpha-b', 'lora-cut-alpha-r', 'lora-svd']) {
    t.ok(Math.abs(loss(arm, 2) - loss('lora', 2)) < 1e-4, `${arm}: ${loss(arm, 2)} and ${loss('lora', 2)}`)
    t.ok(Math.abs(loss(arm, 1) - loss('lora', 2)) > 1e-6, `${arm} at rank 1`)
  }
  for (const { id, cost } of runs) {
    t.equal(cost.steps, 6, id)
    t.ok(cost.flops > 1e6 && cost.tokens > 100 && cost.seconds > 0 && cost.processorSeconds > 0, JSON.stringify(cost))
  }
}

t.test('other settings train again, another measurement measures again', async (t) => {
  const { directory, args } = await place(t.testdir(data))
  const one = [...args, '--out', join(directory, 'out'), '--runs', 'lora-r1']
  const said = t.capture(console, 'log')
  const lastLines = () =>
    said()
      .map(({ args: [line] }) => String(line))
      .filter((line) => line.startsWith('1/1'))
  t.equal(await run([...one, '--steps', '3']), 0)
  lastLines()
  t.equal(await run([...one, '--steps', '3', '--limit', '2']), 0)
  t.match(lastLines(), [/3 steps in .*; measuring/, /lora rank 1/])
  t.equal(await run([...one, '--steps', '4', '--limit', '2']), 0)
  t.match(lastLines(), [/: training$/, /4 steps in .*; measuring/, /lora rank 1/])
})

t.test('a dry run tells what would be trained and its price, and trains nothing', async (t) => {
  const { directory, args } = await place(t.testdir(data))
  const said = t.capture(console, 'log')
  t.equal(await run([...args, '--out', join(directory, 'out'), '--steps', '3', '--runs', 'lora-r', '--dry-run']), 0)
  t.match(
    said().map(({ args: [line] }) => line),
    [
      /^lora-r2-seed42: 3 steps, [\d.e-]+ TFLOP; measures lora at 2; .*lora-svd at 1,2$/,
      /^lora-r1-seed42/,
      /^2 trainings, /,
    ],
  )
  t.notOk(existsSync(join(directory, 'out')))
})

t.test('killed in the middle of a training, the experiment ends as an unbroken one', async (t) => {
  const { directory, args } = await place(t.testdir(data))
  const out = join(directory, 'out')
  const common = [...args, '--steps', '1500', '--runs', 'dylora-seed']
  t.capture(console, 'log')
  const log = join(out, 'runs', 'dylora-seed42', 'train.log')
  const child = spawn(process.execPath, ['--import=tsx', 'src/cli/main.ts', 'experiment', ...common, '--out', out], {
    stdio: 'ignore',
  })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  // Past the first checkpoint.
  await untilLogged(log, '"step":60,')
  child.kill('SIGKILL')
  await ended
  await untilLogged(log, 'Training was stopped after step')
  t.notOk(existsSync(join(out, 'results.json')), 'it had not finished')
  t.equal(await run([...common, '--out', out]), 0)
  t.match(await logged(log), /"event":"resumed"/)
  t.equal(await run([...common, '--out', join(directory, 'unbroken')]), 0)
  const [broken, unbroken] = [out, join(directory, 'unbroken')].map((path) => readResults(join(path, 'results.json')))
  t.same(
    measuredOf((await broken!).runs).map(({ cost: _, ...rest }) => rest),
    measuredOf((await unbroken!).runs).map(({ cost: _, ...rest }) => rest),
  )
  t.same(
    await readdir(join(out, 'runs', 'dylora-seed42')),
    await readdir(join(directory, 'unbroken', 'runs', 'dylora-seed42')),
  )
})

/** The limit only keeps a broken experiment from waiting forever. */
async function untilLogged(path: string, text: string): Promise<void> {
  for (let i = 0; i < 1200; i++) {
    if ((await logged(path)).includes(text)) return
    await sleep(50)
  }
  throw new RangeError(`expected ${text} in ${path}`)
}

const logged = async (path: string): Promise<string> => (existsSync(path) ? readFile(path, 'utf8') : '')

t.test('a training that fails is named, and the others go on', async (t) => {
  const { directory, args } = await place(t.testdir({ ...data }))
  t.capture(console, 'log')
  const complained = t.capture(console, 'error')
  const settings = ['--steps', '30', '--learning-rate', '1e8', '--runs', 'lora-r1,full']
  t.equal(await run([...args, ...settings, '--out', join(directory, 'out')]), 1)
  t.match(
    complained().map(({ args: [line] }) => line),
    [/^dylora: lora-r1-seed42: its training failed \(exit code 1; see .*train\.log\)/],
  )
  const { runs, missing } = await readResults(join(directory, 'out', 'results.json'))
  t.same(
    runs.map(({ id }) => id),
    ['full-seed42'],
  )
  t.ok(missing.includes('lora-r1-seed42'))
})

t.test('help is printed, and a mistake in a file shows before anything is trained', async (t) => {
  const said = t.capture(console, 'log')
  t.equal(await run(['--help']), 0)
  t.match(said()[0]?.args[0], /^Usage: dylora experiment/)
  const { directory, args } = await place(t.testdir({ ...data, 'valid.jsonl': '{"context": 1}' }))
  await t.rejects(run([...args, '--out', join(directory, 'out')]), {
    code: 'dataset_invalid',
    message: /valid\.jsonl.*line 1/,
  })
  t.notOk(existsSync(join(directory, 'out')))
})
