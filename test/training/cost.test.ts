/** What a run computes, told before it and while it goes. */
import { join } from 'node:path'
import t from 'tap'
import { readBaseModel } from '../../src/dylora/base-model.ts'
import { importCheckpoint } from '../../src/dylora/import.ts'
import { estimateFlops } from '../../src/training/cost.ts'
import { TrainingSettings } from '../../src/training/settings.ts'
import { train } from '../../src/training/train.ts'
import { fixturePath } from '../fixtures/golden.ts'

const sequences = Array.from({ length: 20 }, (_, i) => ({
  ids: Int32Array.from({ length: 5 + (i % 7) }, (_, k) => 10 + i + k),
  lossFrom: 2,
}))
const data = { file: 'counting', digest: 'counting', sequences, leftOut: 0 }

t.test('an estimate from every step is what the steps tell, whatever is trained', async (t) => {
  const out = join(t.testdir(), 'base')
  await importCheckpoint(fixturePath('gpt2'), out)
  const base = await readBaseModel(out)
  const told: number[] = []
  for (const some of [{ method: 'dylora' }, { method: 'lora', accumulate: 2 }, { method: 'full' }] as const) {
    const settings = TrainingSettings.parse({ ...some, maxRank: 4, batchSize: 4, steps: 9 })
    let sum = 0
    const onStep = ({ flops }: { flops: number }) => {
      sum += flops
    }
    const learner = await train({ base, data, settings, threads: 1, onStep })
    await learner.session.close()
    t.equal(await estimateFlops(base, data, settings, 9), sum, some.method)
    const part = await estimateFlops(base, data, settings, 9, 3)
    t.ok(Math.abs(part / sum - 1) < 0.3, `${part} from three of nine steps, and ${sum}`)
    told.push(sum)
  }
  const [dylora, lora, full] = told as [number, number, number]
  t.ok(lora > 1.8 * dylora, 'two runs a step')
  t.ok(full > dylora, 'every weight has a gradient')
})
