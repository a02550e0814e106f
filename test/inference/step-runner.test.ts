/** One step of the serving graph: what a failed step leaves behind must not reach the next. */
import { join } from 'node:path'
import t from 'tap'
import type { Adapter, ModuleKey } from '../../src/dylora/adapter.ts'
import { writeAdapter } from '../../src/dylora/adapter-directory.ts'
import { readBaseModel } from '../../src/dylora/base-model.ts'
import { importCheckpoint } from '../../src/dylora/import.ts'
import { StepRunner } from '../../src/inference/step-runner.ts'
import { NativeRuntime } from '../../src/onnx/native/runtime.ts'
import { randomAdapter } from '../fixtures/adapters.ts'
import { fixturePath } from '../fixtures/golden.ts'

t.test('an adapter that cannot be bound fails every time, and never runs with the factors of another', async (t) => {
  const directory = t.testdir()
  await importCheckpoint(fixturePath('gpt2'), join(directory, 'base'))
  const base = await readBaseModel(join(directory, 'base'))
  const good = await writeAdapter(join(directory, 'good'), randomAdapter(1))
  const runner = await StepRunner.create({
    runtime: NativeRuntime.open(),
    base,
    session: { provider: 'cpu', intraOpNumThreads: 1 },
    targetModules: good.targetModules,
    cacheDtype: 'float32',
  })
  const cache = runner.newCache(1, 16)
  t.teardown(() => {
    runner.close()
    cache.close()
  })
  const run = async (adapter: Adapter) => {
    const weights = { adapter, rank: 4 }
    const step = { firstSlot: 0, rows: [{ ids: [1, 2], cached: 0, weights }], select: [1], wantsLogits: true }
    return (await runner.run(cache, step)).logits?.slice()
  }
  const factors = new Map(good.factors)
  const last: ModuleKey = '1.fc_in'
  factors.set(last, { ...good.factors.get(last)!, loraB: new Float32Array(3) })
  const broken: Adapter = { ...good, name: 'broken', digest: 'broken', factors }

  const expected = await run(good)
  for (const attempt of ['the first time', 'and again'])
    await t.rejects(run(broken), { message: /expected|Invalid/ }, attempt)
  t.strictSame(await run(good), expected, 'the good one answers as before')
})
