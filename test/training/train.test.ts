/** Training on the tiny model: what the method promises, and that a run can be repeated and resumed to the bit. */
import { spawn } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { ModuleKey } from '../../src/dylora/adapter.ts'
import { readAdapter } from '../../src/dylora/adapter-directory.ts'
import { type BaseModel, readBaseModel } from '../../src/dylora/base-model.ts'
import { importCheckpoint } from '../../src/dylora/import.ts'
import type { Dataset } from '../../src/training/data.ts'
import type { Learner } from '../../src/training/learner.ts'
import { sampleRanks } from '../../src/training/rank-sampling.ts'
import { recipes, TrainingSettings } from '../../src/training/settings.ts'
import { type StepReport, train } from '../../src/training/train.ts'
import { Validation } from '../../src/training/validation.ts'
import { fixturePath } from '../fixtures/golden.ts'
import { randomNumbers } from '../fixtures/gradient-check.ts'

interface Directory {
  testdir: () => string
}

async function importedBase(t: Directory): Promise<BaseModel> {
  const out = join(t.testdir(), 'base')
  await importCheckpoint(fixturePath('gpt2'), out)
  return readBaseModel(out)
}

/** Sequences that count upwards from a random start: something that can be learnt. */
function counting(examples: number, seed = 1): Dataset {
  const random = randomNumbers(seed)
  const sequences = Array.from({ length: examples }, () => {
    const start = 10 + Math.floor(random() * 40)
    return { ids: Int32Array.from({ length: 6 + Math.floor(random() * 5) }, (_, i) => start + i), lossFrom: 2 }
  })
  return { file: 'counting', digest: `counting ${seed}`, sequences, leftOut: 0 }
}

const settingsOf = (settings: Partial<TrainingSettings>): TrainingSettings =>
  TrainingSettings.parse({
    ...recipes.paper,
    maxRank: 4,
    batchSize: 8,
    steps: 12,
    learningRate: 0.02,
    seed: 5,
    ...settings,
  })

/** A seed whose first step draws this rank. */
function seedDrawing(rank: number): number {
  const shared = { method: 'dylora', maxRank: 4, distribution: 'uniform', update: 'all' } as const
  const policy = { ...shared, per: 'batch', draw: 'independent', maxRankShare: 0 } as const
  for (let seed = 0; ; seed++) if (sampleRanks(policy, 1, seed, 0)[0] === rank) return seed
}

interface Result {
  readonly learner: Learner
  readonly reports: readonly StepReport[]
}

async function trained(
  base: BaseModel,
  settings: Partial<TrainingSettings>,
  onStep?: (learner: Learner) => void,
): Promise<Result> {
  const reports: StepReport[] = []
  const learner = await train({
    base,
    data: counting(64),
    settings: settingsOf(settings),
    threads: 1,
    onStep: (report, learner) => {
      reports.push(report)
      onStep?.(learner)
    },
  })
  await learner.session.close()
  return { learner, reports }
}

const bytes = ({ parameters }: Learner): Buffer[] => parameters.map(({ data }) => Buffer.from(data.slice().buffer))

const rowsOf = ({ parameters }: Learner, first: number, end: number): Float32Array[] =>
  parameters.map(({ data, rowLength }) => data.slice(first * rowLength, end * rowLength))

t.test('the same seed gives the same factors to the bit, another seed others', async (t) => {
  const base = await importedBase(t)
  const [one, two, other] = [await trained(base, {}), await trained(base, {}), await trained(base, { seed: 6 })]
  t.same(bytes(one.learner), bytes(two.learner))
  t.same(
    one.reports.map(({ loss }) => loss),
    two.reports.map(({ loss }) => loss),
  )
  t.notSame(bytes(one.learner), bytes(other.learner))
})

t.test('dropout, label smoothing, accumulation and ranks per example repeat too', async (t) => {
  const base = await importedBase(t)
  const settings = { dropout: 0.1, labelSmoothing: 0.1, accumulate: 2, rankPer: 'example' as const }
  const [one, two] = [await trained(base, settings), await trained(base, settings)]
  t.same(bytes(one.learner), bytes(two.learner))
  t.notSame(bytes(one.learner), bytes((await trained(base, { ...settings, dropout: 0 })).learner))
})

t.test('DyLoRA whose every rank is the highest is LoRA, bit for bit', async (t) => {
  const base = await importedBase(t)
  const dylora = await trained(base, { method: 'dylora', maxRank: 1 })
  const lora = await trained(base, { method: 'lora', maxRank: 1 })
  t.same(bytes(dylora.learner), bytes(lora.learner))
})

t.test('a step at rank b leaves the rows above b alone', async (t) => {
  const base = await importedBase(t)
  const [rank, seed] = [2, seedDrawing(2)]
  let before: Float32Array[] = []
  const { reports } = await trained(base, { steps: 1, seed }, (learner) => {
    before = rowsOf(learner, 0, 4)
  })
  t.equal(reports[0]!.rank, rank)
  const start = await trained(base, { steps: 1, seed, learningRate: 1e-30, weightDecay: 0 })
  start.learner.parameters.forEach(({ data, rowLength, name }, i) => {
    t.same(before[i]!.slice(rank * rowLength), data.slice(rank * rowLength), `${name}: rows above ${rank}`)
  })
  t.notSame(
    before.map((rows) => rows.slice(0, 1)),
    start.learner.parameters.map(({ data }) => data.slice(0, 1)),
  )
})

t.test('frozen moves row b alone', async (t) => {
  const base = await importedBase(t)
  const [rank, seed] = [3, seedDrawing(3)]
  let rows: Float32Array[] = []
  const { reports } = await trained(base, { steps: 1, update: 'frozen', seed }, (learner) => {
    rows = rowsOf(learner, 0, 4)
  })
  t.equal(reports[0]!.rank, rank)
  const start = await trained(base, {
    steps: 1,
    update: 'frozen',
    seed,
    learningRate: 1e-30,
    weightDecay: 0,
  })
  start.learner.parameters.forEach(({ data, rowLength, name }, i) => {
    for (let row = 0; row < 4; row++) {
      const [moved, still] = [rows[i]!, data].map((all) => all.slice(row * rowLength, (row + 1) * rowLength))
      // B starts at zero, so A has no gradient in the first step.
      if (row === rank - 1 && name.startsWith('lora_B')) t.notSame(moved, still, `${name} row ${row + 1}`)
      if (row !== rank - 1) t.same(moved, still, `${name} row ${row + 1}`)
    }
  })
})

t.test('accumulating two halves is one batch', async (t) => {
  const base = await importedBase(t)
  const data = counting(8)
  const reports: StepReport[] = []
  for (const [batchSize, accumulate] of [
    [8, 1],
    [4, 2],
  ] as const) {
    const settings = settingsOf({ batchSize, accumulate, steps: 1, method: 'lora', seed: 4 })
    const onStep = (report: StepReport) => {
      reports.push(report)
    }
    const learner = await train({ base, data, settings, threads: 1, onStep })
    await learner.session.close()
  }
  const [whole, halves] = reports as [StepReport, StepReport]
  t.ok(Math.abs(whole.loss - halves.loss) < 1e-5, `${whole.loss} and ${halves.loss}`)
  t.ok(
    Math.abs(whole.gradientNorm / halves.gradientNorm - 1) < 1e-4,
    `${whole.gradientNorm} and ${halves.gradientNorm}`,
  )
})

t.test('training lowers the loss at every rank; full training too', async (t) => {
  const base = await importedBase(t)
  const settings = settingsOf({ steps: 150 })
  const learner = await train({ base, data: counting(64), settings, threads: 1 })
  const validation = await Validation.create(base, settings, { threads: 1 })
  const losses = await validation.losses(learner, counting(32, 2).sequences, [0, 1, 2, 3, 4])
  await validation.close()
  await learner.session.close()
  const [before, ...after] = losses.map(({ loss }) => loss)
  t.ok(
    after.every((loss) => loss < 0.7 * before!),
    `${before} -> ${after.join(' ')}`,
  )
  const { reports } = await trained(base, { method: 'full', steps: 60, learningRate: 0.005 })
  t.ok(reports.at(-1)!.loss < 0.5 * reports[0]!.loss, `${reports[0]!.loss} -> ${reports.at(-1)!.loss}`)
})

t.test('a gradient that is not finite stops the run with a reason', async (t) => {
  const base = await importedBase(t)
  await t.rejects(trained(base, { learningRate: 1e30, clip: 0, steps: 20 }), /finite gradient/)
})

/** Runs `dylora train` in a process of its own, killed after so many lines of output. */
function command(
  args: string[],
  killAfterSteps = Number.POSITIVE_INFINITY,
): Promise<{ code: number | null; output: string }> {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const child = spawn(process.execPath, ['--import=tsx', 'src/cli/main.ts', 'train', ...args], { cwd: root })
  let output = ''
  child.stdout.on('data', (chunk) => {
    output += String(chunk)
    if ((output.match(/"event":"step"/g)?.length ?? 0) >= killAfterSteps) child.kill('SIGKILL')
  })
  child.stderr.on('data', (chunk) => {
    output += String(chunk)
  })
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, output })))
}

t.test(
  'distillation teaches what the highest rank says: nothing new to a rank that says the same, something to others',
  async (t) => {
    const base = await importedBase(t)
    // At a single rank, teacher and student agree, so that half of each batch has no gradient: what is left is LoRA on the other.
    const alone = { maxRank: 1, clip: 0, epsilon: 1e-16, weightDecay: 0 }
    const distilled = await trained(base, { ...alone, batchSize: 8, distillation: 1 })
    const lora = await trained(base, { ...alone, batchSize: 4, method: 'lora' })
    const [found, expected] = [distilled, lora].map(({ learner }) => rowsOf(learner, 0, 1).flatMap((row) => [...row]))
    t.ok(found!.every((value, i) => Math.abs(value - expected![i]!) < 1e-3))
    const losses = await Promise.all(
      [0, 0.5].map(async (distillation) => (await trained(base, { distillation, steps: 60 })).reports.at(-1)!.loss),
    )
    t.ok(
      losses.every((loss) => loss < 3),
      `learns: ${losses.join()}`,
    )
  },
)

t.test('killed and resumed, a run ends with the adapter of an unbroken one', async (t) => {
  const directory = t.testdir()
  const base = join(directory, 'base')
  await importCheckpoint(fixturePath('gpt2'), base)
  const data = join(directory, 'train.jsonl')
  const lines = Array.from({ length: 40 }, (_, i) => JSON.stringify({ context: `a${i}`, completion: `b ${i} c` }))
  writeFileSync(data, lines.join('\n'))
  const args = (out: string) => [
    ...[
      '--base',
      base,
      '--data',
      data,
      '--validation',
      data,
      '--out',
      join(directory, out),
      '--max-rank',
      '3',
      '--steps',
      '30',
    ],
    ...['--batch-size', '4', '--checkpoint-every', '4', '--log-every', '1', '--threads', '1', '--dropout', '0.1'],
  ]
  const unbroken = await command(args('unbroken'))
  t.equal(unbroken.code, 0, unbroken.output)
  const killed = await command(args('resumed'), 14)
  t.not(killed.code, 0)
  t.notOk(existsSync(join(directory, 'resumed')), 'a killed run leaves no adapter')
  const other = await command([...args('resumed'), '--resume', '--seed', '1'])
  t.match(other, { code: 1, output: /belongs to another run: settings/ })
  const resumed = await command([...args('resumed'), '--resume'])
  t.equal(resumed.code, 0, resumed.output)
  t.match(resumed.output, /"event":"resumed","step":(4|8|12|16)/)
  const [a, b] = [await readAdapter(join(directory, 'unbroken')), await readAdapter(join(directory, 'resumed'))]
  t.equal(a.digest, b.digest)
  t.same(a.quality, b.quality)
  t.same(a.ranks, [1, 2, 3])
  t.equal(a.quality.filter(({ metric, primary }) => metric === 'loss' && primary).length, 3)
  t.ok([...a.factors.keys()].includes('1.fc_out' as ModuleKey))
  t.notOk(existsSync(join(directory, '.resumed.checkpoint')), 'the checkpoint is gone')
})
