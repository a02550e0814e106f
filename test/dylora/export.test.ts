/** Exported cuts, as PEFT LoRA and merged: PyTorch's logits for every rule and rank, and nothing else is overwritten. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Adapter, scalingRules, type TargetModule } from '../../src/dylora/adapter.ts'
import { readAdapter, writeAdapter } from '../../src/dylora/adapter-directory.ts'
import { exportAdapter, exportMerged } from '../../src/dylora/export.ts'
import { importCheckpoint } from '../../src/dylora/import.ts'
import { readSafetensorsHeader, readTensor } from '../../src/dylora/safetensors.ts'
import { goldenAdapter, randomAdapter } from '../fixtures/adapters.ts'
import { fixturePath, goldenBatch, readAll } from '../fixtures/golden.ts'
import { adaptedLogits, baseLogits, largestDifference } from '../fixtures/serving.ts'

const root = t.testdir()
const { base } = await importCheckpoint(fixturePath('gpt2'), join(root, 'base'))
const ids = goldenBatch().inputIds[0] ?? []
const golden = await readAll('export', 'golden.safetensors')
const sets = [...new Set([...golden.keys()].map((name) => name.split(' ')[0] ?? ''))]
const rules = Object.keys(scalingRules) as Adapter['scaling'][]

/** The adapter whose cuts `make-export.py` computed. */
async function adapterOf(directory: string, modules: string, scaling: Adapter['scaling']): Promise<Adapter> {
  const all = await goldenAdapter('all')
  const targetModules = modules.split('+') as TargetModule[]
  const factors = [...all.factors].filter(([key]) => targetModules.some((module) => key.endsWith(`.${module}`)))
  const content = { ...all, scaling, targetModules, factors: new Map(factors), baseDigest: base.digest }
  return writeAdapter(join(directory, 'adapter'), content)
}

const lastOf = (logits: Float32Array) => logits.subarray(-base.config.vocabSize)

for (const modules of sets) {
  t.test(`${modules}: served, exported or merged, each rank of each rule has PyTorch's logits`, async (t) => {
    const directory = t.testdir()
    for (const scaling of rules) {
      const adapter = await adapterOf(directory, modules, scaling)
      for (const rank of adapter.ranks) {
        const expected = golden.get(`${modules} ${scaling} ${rank}`) ?? new Float32Array()
        const check = (logits: Float32Array, how: string) =>
          t.ok(largestDifference(lastOf(logits), expected) < 1e-4, `${how} at rank ${rank} by ${scaling}`)
        check(await adaptedLogits(base, adapter, rank, ids), 'served')
        await exportAdapter(adapter, rank, join(directory, 'lora'))
        check(await adaptedLogits(base, await readAdapter(join(directory, 'lora')), rank, ids), 'exported')
        await exportMerged(adapter, base, rank, join(directory, 'merged'))
        const merged = await importCheckpoint(join(directory, 'merged'), join(directory, 'merged-base'))
        check(await baseLogits(merged.base, ids), 'merged')
      }
    }
  })
}

t.test('a merged checkpoint is a directory as transformers saves it, also with a head of its own', async (t) => {
  const directory = t.testdir()
  const { base: untied } = await importCheckpoint(fixturePath('gpt2-untied'), join(directory, 'base'))
  const { hiddenSize, innerSize } = untied.config
  const factors = { loraA: new Float32Array(hiddenSize).fill(1), loraB: new Float32Array(innerSize).fill(1) }
  const content = randomAdapter(1, 1, { targetModules: ['fc_in'] })
  const width = { inFeatures: hiddenSize, outFeatures: innerSize }
  const made = new Map([...content.factors.keys()].map((key) => [key, { ...width, ...factors }] as const))
  const adapter = await writeAdapter(join(directory, 'adapter'), { ...content, factors: made })
  await exportMerged(adapter, untied, 1, join(directory, 'out'))
  const files = ['config.json', 'dylora_export.json', 'generation_config.json', 'model.safetensors', 'tokenizer.json']
  t.strictSame(readdirSync(join(directory, 'out')).sort(), files)
  const [before, after] = [
    await readAll('gpt2-untied', 'model.safetensors'),
    join(directory, 'out', 'model.safetensors'),
  ]
  const merged = await readSafetensorsHeader(after)
  t.strictSame([...merged.tensors.keys()].sort(), [...before.keys()].sort())
  for (const [name, values] of before) {
    const added = name.endsWith('mlp.c_fc.weight') ? content.loraAlpha : 0
    const expected = values.map((value) => value + added)
    t.ok(largestDifference(await readTensor(merged, name), expected) < 1e-6, name)
  }
})

t.test('the record of an export says what it was made of', async (t) => {
  const directory = t.testdir()
  const prompt = { prefix: [3], suffix: [0] }
  const adapter = await writeAdapter(join(directory, 'a'), randomAdapter(1, 4, { baseDigest: base.digest, prompt }))
  await exportAdapter(adapter, 2, join(directory, 'out'))
  t.strictSame(JSON.parse(readFileSync(join(directory, 'out', 'dylora_export.json'), 'utf8')), {
    adapter: 'a',
    digest: adapter.digest,
    baseModel: 'gpt2',
    baseDigest: base.digest,
    rank: 2,
    loraAlpha: 8,
    scaling: 'alpha/b',
    prompt,
  })
})

t.test('only a trained rank is exported, and only over an earlier export', async (t) => {
  const directory = t.testdir({ file: '', full: { 'thesis.tex': 'all of it' } })
  const adapter = { ...(await writeAdapter(join(directory, 'a'), randomAdapter(1))), ranks: [1, 4] }
  const lora = (rank: number, out: string) => exportAdapter(adapter, rank, join(directory, out))
  const merged = (rank: number, out: string) => exportMerged(adapter, base, rank, join(directory, out))
  for (const write of [lora, merged]) {
    await t.rejects(write(2, 'none'), { code: 'rank_not_allowed', message: /one of 1, 4/ })
    await t.rejects(write(1, 'full'), { code: 'adapter_invalid', message: /there is something else in this place/ })
    await t.rejects(write(1, 'a'), { message: /there is something else in this place/ }, 'not over the adapter itself')
    await t.rejects(write(1, 'file'), { code: 'adapter_invalid', message: /there is a file in this place/ })
  }
  t.strictSame(readdirSync(directory).sort(), ['a', 'file', 'full'], 'nothing half-written is left')
  mkdirSync(join(directory, 'out'))
  await lora(1, 'out')
  writeFileSync(join(directory, 'out', 'old'), '')
  await merged(4, 'out')
  t.notOk(readdirSync(join(directory, 'out')).includes('old'))
  t.strictSame((await importCheckpoint(join(directory, 'out'), join(directory, 'again'))).base.config, base.config)
})

t.test('an adapter of another base is not merged', async (t) => {
  const directory = t.testdir()
  const other = randomAdapter(1, 2, { baseDigest: `sha256:${'0'.repeat(64)}` })
  const adapter = await writeAdapter(join(directory, 'a'), other)
  const message = /it belongs to base gpt2 sha256:0000/
  await t.rejects(exportMerged(adapter, base, 1, join(directory, 'out')), { code: 'adapter_invalid', message })
  t.strictSame(readdirSync(directory), ['a'])
})
