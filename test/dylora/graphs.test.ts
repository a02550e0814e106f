/** The graphs of one model against PyTorch: logits, losses and gradients of a LoRA step (golden numbers of `make-lora.py`). */
import t from 'tap'
import type { LoraFactors, ModuleKey, TargetModule } from '../../src/dylora/adapter.ts'
import { type BaseModel, readBaseModel } from '../../src/dylora/base-model.ts'
import { scoringGraph, trainingGraph } from '../../src/dylora/graphs.ts'
import { importCheckpoint } from '../../src/dylora/import.ts'
import { factorFeeds, Scorer } from '../../src/dylora/scorer.ts'
import { cutDiagonal, layOut, loraMask, type TokenSequence } from '../../src/dylora/sequences.ts'
import { Session, type TensorData } from '../../src/onnx/session.ts'
import { fixturePath, type GoldenStep, goldenBatch, goldenStep, goldenSteps } from '../fixtures/golden.ts'

async function importedBase(t: { testdir: () => string }): Promise<BaseModel> {
  const out = `${t.testdir()}/base`
  await importCheckpoint(fixturePath('gpt2'), out)
  return readBaseModel(out)
}

/** The rows of the golden batch without their padding. */
function sequences(): TokenSequence[] {
  const { inputIds, attentionMask, lossMask } = goldenBatch()
  return inputIds.map((row, b) => {
    const length = attentionMask[b]!.reduce((sum, bit) => sum + bit, 0)
    return { ids: Int32Array.from(row.slice(0, length)), lossFrom: lossMask[b]!.indexOf(1) + 1 }
  })
}

function factorsOf({ tensors }: GoldenStep, rank: number): Map<ModuleKey, LoraFactors> {
  const keys = [...tensors.keys()]
    .filter((name) => name.startsWith('lora_A.'))
    .map((name) => name.slice('lora_A.'.length))
  return new Map(
    keys.map((key) => {
      const [loraA, loraB] = [tensors.get(`lora_A.${key}`)!, tensors.get(`lora_B.${key}`)!]
      return [key as ModuleKey, { loraA, loraB, inFeatures: loraA.length / rank, outFeatures: loraB.length / rank }]
    }),
  )
}

/** The largest difference, relative to the largest value. */
function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY
  let [difference, size] = [0, 0]
  for (let i = 0; i < expected.length; i++) {
    difference = Math.max(difference, Math.abs(actual[i]! - expected[i]!))
    size = Math.max(size, Math.abs(expected[i]!))
  }
  return difference / size
}

async function learnStep(base: BaseModel, golden: GoldenStep, labelSmoothing: number) {
  const batch = layOut(sequences(), 3)
  const targetModules = golden.targetModules as TargetModule[]
  const graph = trainingGraph(base, {
    learn: 'lora',
    targetModules,
    batch: 3,
    labelSmoothing,
    loraDropout: 0,
    distillation: false,
  })
  const session = await Session.create(graph.model, { externalDataDirectory: graph.externalDataDirectory, threads: 1 })
  const { rank, scaling } = golden
  const outputs = await session.run({
    ...batch.feeds,
    ...factorFeeds(graph.adapted, factorsOf(golden, rank), rank),
    lora_mask: loraMask(batch.tokens, rank, [cutDiagonal(rank, scaling)]),
    loss_weights: {
      dtype: 'float32',
      shape: [batch.selected, 1],
      data: new Float32Array(batch.selected).fill(1 / batch.selected),
    },
  })
  await session.close()
  return outputs as Record<string, TensorData<Float32Array>>
}

for (const name of goldenSteps) {
  t.test(`loss and gradients of a LoRA step equal PyTorch's: ${name}`, async (t) => {
    const base = await importedBase(t)
    const golden = await goldenStep(name)
    const kinds = [
      { labelSmoothing: 0, loss: golden.loss, prefix: 'grad' },
      { labelSmoothing: golden.labelSmoothing, loss: golden.smoothedLoss, prefix: 'smooth' },
    ]
    for (const { labelSmoothing, loss, prefix } of kinds) {
      const outputs = await learnStep(base, golden, labelSmoothing)
      t.ok(relativeError([outputs.loss!.data[0]!], [loss]) < 1e-5, `loss ${outputs.loss!.data[0]} for ${loss}`)
      for (const [tensor, expected] of golden.tensors) {
        if (!tensor.startsWith(`${prefix}_`)) continue
        const error = relativeError(outputs[`gradient.${tensor.replace(prefix, 'lora')}`]!.data, expected)
        t.ok(error < 1e-4, `${tensor}: relative error ${error}`)
      }
    }
  })
}

t.test('a score is the mean loss of PyTorch, in batches of any size', async (t) => {
  const base = await importedBase(t)
  const golden = await goldenStep('all')
  const targetModules = golden.targetModules as TargetModule[]
  const adapter = {
    factors: factorsOf(golden, golden.rank),
    targetModules,
    scaling: 'alpha/b' as const,
    loraAlpha: golden.alpha,
    maxRank: golden.rank,
  }
  for (const batch of [1, 2, 5]) {
    const scorer = await Scorer.create(base, { targetModules, batch, threads: 1 })
    const { loss } = await scorer.score(sequences(), adapter, golden.rank)
    await scorer.close()
    t.ok(Math.abs(loss - golden.loss) < 1e-5, `batch ${batch}: ${loss} for ${golden.loss}`)
  }
})

t.test('rank 0 is the base model', async (t) => {
  const base = await importedBase(t)
  const golden = await goldenStep('all')
  const adapted = await Scorer.create(base, {
    targetModules: golden.targetModules as TargetModule[],
    batch: 3,
    threads: 1,
  })
  const bare = await Scorer.create(base, { targetModules: [], batch: 3, threads: 1 })
  const scores = [await adapted.score(sequences(), null, 0), await bare.score(sequences(), null, 0)]
  await adapted.close()
  await bare.close()
  t.equal(scores[0]!.loss, scores[1]!.loss)
})

t.test('frozen weights have no gradient node', async (t) => {
  const base = await importedBase(t)
  const targetModules = ['q_proj', 'v_proj'] as const
  const learn = {
    learn: 'lora' as const,
    targetModules,
    batch: 3,
    labelSmoothing: 0,
    loraDropout: 0,
    distillation: false,
  }
  const text = Buffer.from(trainingGraph(base, learn).model).toString('latin1')
  t.notMatch(text, /gradient\.(wte|wpe|h\.|ln_f)/, 'no weight is differentiated')
  t.match(text, /gradient\.lora_A\.0\.q_proj/)
  t.match(scoringGraph(base, { targetModules, batch: 1 }).adapted.length, base.config.layers * 2)
})
