/** Early stopping on the tiny model: the best is kept, and a run that was stopped in between ends as an unbroken one. */
import { join } from 'node:path'
import t from 'tap'
import { type BaseModel, readBaseModel } from '../../src/dylora/base-model.ts'
import { importCheckpoint } from '../../src/dylora/import.ts'
import type { Dataset } from '../../src/training/data.ts'
import { EarlyStopping } from '../../src/training/early-stopping.ts'
import type { Learner } from '../../src/training/learner.ts'
import { TrainingSettings } from '../../src/training/settings.ts'
import { type TrainingRun, train } from '../../src/training/train.ts'
import { fixturePath } from '../fixtures/golden.ts'

async function importedBase(t: { testdir: () => string }): Promise<BaseModel> {
  const out = join(t.testdir(), 'base')
  await importCheckpoint(fixturePath('gpt2'), out)
  return readBaseModel(out)
}

const sequences = Array.from({ length: 16 }, (_, i) => ({ ids: Int32Array.of(i, i + 1, i + 2, i + 3), lossFrom: 1 }))
const data: Dataset = { file: 'counting', digest: 'counting', sequences, leftOut: 0 }
const settings = TrainingSettings.parse({ maxRank: 2, batchSize: 4, steps: 20, seed: 5 })

/** Lowest at step 4 of those that are looked at before patience is over. */
const scripted: Readonly<Record<number, number>> = { 2: 3, 4: 2, 6: 2.5, 8: Number.NaN, 10: 1 }

function stopping(looks: number[] = [], digest = 'held'): EarlyStopping {
  const measure = async (_learner: Learner, step: number) => {
    looks.push(step)
    return scripted[step] ?? 0
  }
  return new EarlyStopping({ every: 2, patience: 2, digest, measure })
}

const bytes = ({ parameters }: Pick<Learner, 'parameters'>) =>
  parameters.map(({ data }) => Buffer.from(data.slice().buffer))

/** Its factors at the end, and after each step. */
async function trained(run: Pick<TrainingRun, 'base'> & Partial<TrainingRun>) {
  const after = new Map<number, Buffer[]>()
  const learner = await train({
    ...{ data, settings, threads: 1 },
    ...run,
    onStep: async (report, learner) => {
      after.set(report.step, bytes(learner))
      await run.onStep?.(report, learner)
    },
  })
  await learner.session.close()
  return { end: bytes(learner), after }
}

t.test('when the loss has not fallen for so many looks the run ends, with the best that was seen', async (t) => {
  const base = await importedBase(t)
  const looks: number[] = []
  const early = stopping(looks)
  const { end, after } = await trained({ base, earlyStopping: early })
  t.same(looks, [2, 4, 6, 8], 'a loss that is no number is no better')
  t.equal(after.size, 8)
  t.same(early.best, { step: 4, loss: 2 })
  t.same(end, after.get(4))
  t.notSame(end, after.get(8))
})

t.test('the last step is looked at too', async (t) => {
  const base = await importedBase(t)
  const looks: number[] = []
  const early = stopping(looks)
  const { end, after } = await trained({ base, earlyStopping: early, settings: { ...settings, steps: 5 } })
  t.same(looks, [2, 4, 5])
  t.same(end, after.get(5))
})

t.test('stopped by hand after any step and resumed, a run ends with the same factors', async (t) => {
  const base = await importedBase(t)
  const whole = await trained({ base, earlyStopping: stopping() })
  for (const last of [3, 6, 8]) {
    const checkpoint = { path: join(t.testdirName, `${last}/checkpoint.safetensors`), every: 100, resume: true }
    const controller = new AbortController()
    const onStep = ({ step }: { step: number }) => {
      if (step === last) controller.abort()
    }
    const first = trained({ base, checkpoint, earlyStopping: stopping(), onStep, signal: controller.signal })
    // Whose patience is over at this very step has nothing left to stop.
    if (last < 8) await t.rejects(first, { code: 'cancelled' })
    else await first
    const looks: number[] = []
    const early = stopping(looks)
    const { end } = await trained({ base, checkpoint, earlyStopping: early })
    t.same(end, whole.end, `after step ${last}`)
    t.same(early.best, { step: 4, loss: 2 })
    if (last < 8)
      t.same(
        looks,
        [4, 6, 8].filter((step) => step > last),
      )
  }
})

t.test('a checkpoint written when patience is over is the end of the run', async (t) => {
  const base = await importedBase(t)
  const checkpoint = { path: join(t.testdirName, 'over/checkpoint.safetensors'), every: 8, resume: true }
  const whole = await trained({ base, checkpoint, earlyStopping: stopping() })
  const again = await trained({ base, checkpoint, earlyStopping: stopping() })
  t.equal(again.after.size, 0)
  t.same(again.end, whole.end)
})

t.test('a checkpoint of other held-out data, or of a run without early stopping, is refused', async (t) => {
  const base = await importedBase(t)
  const checkpoint = { path: join(t.testdirName, 'other/checkpoint.safetensors'), every: 4, resume: true }
  await trained({ base, checkpoint, earlyStopping: stopping() })
  const refused = { code: 'checkpoint_invalid', message: /belongs to another run: settings/ }
  await t.rejects(trained({ base, checkpoint, earlyStopping: stopping([], 'other') }), refused)
  await t.rejects(trained({ base, checkpoint }), refused)
})
