/** Adapters to and from PEFT: the same tensors, the same logits, and what PEFT can and this project cannot is named. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Adapter, scalingOf } from '../../src/dylora/adapter.ts'
import { checkAgainstBase, readAdapter, writeAdapter } from '../../src/dylora/adapter-directory.ts'
import { exportAdapter } from '../../src/dylora/export.ts'
import { importCheckpoint } from '../../src/dylora/import.ts'
import { readSafetensorsHeader, readTensor, writeSafetensors } from '../../src/dylora/safetensors.ts'
import { goldenAdapter, randomAdapter } from '../fixtures/adapters.ts'
import { fixturePath, goldenBatch, goldenStep, goldenSteps, readAll } from '../fixtures/golden.ts'
import { adaptedLogits, largestDifference } from '../fixtures/serving.ts'

const root = t.testdir()
const { base } = await importCheckpoint(fixturePath('gpt2'), join(root, 'base'))
const vocabulary = base.config.vocabSize
const rows = goldenBatch().inputIds.map((ids, row) => {
  const length = goldenBatch().attentionMask[row]?.reduce((sum, one) => sum + one, 0) ?? 0
  return ids.slice(0, length)
})
const width = goldenBatch().inputIds[0]?.length ?? 0

/** The largest difference to golden logits [rows, width, vocabulary] over the rows of the batch. */
async function distance(adapter: Adapter, rank: number, golden: Float32Array, count = rows.length): Promise<number> {
  let largest = 0
  for (const [row, ids] of rows.slice(0, count).entries()) {
    const start = row * width * vocabulary
    const expected = golden.subarray(start, start + ids.length * vocabulary)
    largest = Math.max(largest, largestDifference(await adaptedLogits(base, adapter, rank, ids), expected))
  }
  return largest
}

async function goldenLogits(name: string): Promise<Float32Array> {
  return (await goldenStep(name)).tensors.get('logits') ?? new Float32Array()
}

t.test('the tensors written are those that PEFT writes for the same function', async (t) => {
  const directory = join(t.testdir(), 'all')
  await writeAdapter(directory, await goldenAdapter('all'))
  const file = await readSafetensorsHeader(join(directory, 'adapter_model.safetensors'))
  const peft = await readAll('lora-step', 'all-as-peft', 'adapter_model.safetensors')
  t.strictSame([...file.tensors.keys()].sort(), [...peft.keys()].sort())
  for (const [name, values] of peft) t.strictSame(await readTensor(file, name), values, name)
  const config = JSON.parse(readFileSync(join(directory, 'adapter_config.json'), 'utf8'))
  t.match(config, {
    peft_type: 'LORA',
    r: 3,
    lora_alpha: 6,
    rank_pattern: { 'attn.c_attn': 9 },
    alpha_pattern: { 'attn.c_attn': 18 },
    target_modules: ['attn.c_attn', 'attn.c_proj', 'mlp.c_fc', 'mlp.c_proj'],
    fan_in_fan_out: true,
    bias: 'none',
  })
})

t.test('with one kind of layer the configuration needs no patterns', async (t) => {
  const directory = join(t.testdir(), 'a')
  await writeAdapter(directory, await goldenAdapter('q-and-v'))
  t.match(JSON.parse(readFileSync(join(directory, 'adapter_config.json'), 'utf8')), {
    r: 8,
    lora_alpha: 16,
    rank_pattern: {},
    target_modules: ['attn.c_attn'],
  })
})

for (const name of goldenSteps) {
  t.test(`${name}: written, read and served, the logits are those of PEFT`, async (t) => {
    const directory = join(t.testdir(), 'a')
    await writeAdapter(directory, await goldenAdapter(name))
    const adapter = await readAdapter(directory)
    t.ok((await distance(adapter, adapter.maxRank, await goldenLogits(name))) < 1e-4)
  })
}

t.test('the cut to rank 2, served or exported, has the logits of a PEFT LoRA of rank 2', async (t) => {
  const directory = t.testdir()
  const adapter = await writeAdapter(join(directory, 'all'), await goldenAdapter('all'))
  const golden = await goldenLogits('all-cut-to-2')
  t.ok((await distance(adapter, 2, golden)) < 1e-4, 'cut while serving')
  await exportAdapter(adapter, 2, join(directory, 'cut'))
  const exported = await readAdapter(join(directory, 'cut'))
  t.match(exported, { method: 'lora', ranks: [2], baseDigest: '', loraAlpha: 6, scaling: 'alpha/b' })
  t.strictSame(exported.targetModules, adapter.targetModules)
  t.ok((await distance(exported, 2, golden)) < 1e-4, 'exported')
})

t.test('an exported cut has the scaling of the adapter at its rank, whatever the rule', async (t) => {
  for (const scaling of ['alpha/b', 'alpha/sqrt(b)', 'alpha/r'] as const) {
    const directory = t.testdir()
    const adapter = await writeAdapter(join(directory, 'a'), randomAdapter(1, 4, { scaling, loraAlpha: 6 }))
    for (const rank of adapter.ranks) {
      await exportAdapter(adapter, rank, join(directory, 'cut'))
      const cut = await readAdapter(join(directory, 'cut'))
      t.ok(Math.abs(scalingOf(cut, rank) - scalingOf(adapter, rank)) < 1e-12, `${scaling} at ${rank}`)
    }
  }
})

const plain = [
  { name: 'peft-lora', expected: { ranks: [4], loraAlpha: 8, scaling: 'alpha/b', baseModel: 'gpt2', method: 'lora' } },
  { name: 'peft-lora-patterns', expected: { ranks: [4], targetModules: ['q_proj', 'k_proj', 'v_proj', 'fc_in'] } },
  { name: 'peft-rslora', expected: { ranks: [3], loraAlpha: 6, scaling: 'alpha/sqrt(b)' } },
] as const

for (const { name, expected } of plain) {
  t.test(`${name}: a plain PEFT LoRA serves its own rank with PEFT's logits`, async (t) => {
    const adapter = await readAdapter(fixturePath(name))
    t.match(adapter, { ...expected, name, baseDigest: '' })
    t.doesNotThrow(() => checkAgainstBase(adapter, base))
    const golden = (await readAll(name, 'golden.safetensors')).get('logits') ?? new Float32Array()
    t.ok((await distance(adapter, adapter.maxRank, golden, 1)) < 1e-4)
    t.strictSame((await readAdapter(fixturePath(name))).digest, adapter.digest)
  })
}

t.test('factors that were never trained are an adapter that changes nothing', async (t) => {
  const directory = copyOf(t)
  const path = join(directory, 'adapter_model.safetensors')
  const file = await readSafetensorsHeader(path)
  const tensors = [...file.tensors.values()].map(({ name, shape }) => ({
    name,
    shape,
    data: new Float32Array((shape[0] ?? 0) * (shape[1] ?? 0)).fill(name.includes('lora_A') ? 1 : 0),
  }))
  await writeSafetensors(path, tensors)
  const adapter = await readAdapter(directory)
  t.strictSame(adapter.ranks, [4])
  t.ok([...adapter.factors.values()].every(({ loraB }) => loraB.every((value) => value === 0)))
})

function copyOf(t: { testdir(): string }): string {
  const directory = join(t.testdir(), 'copy')
  cpSync(fixturePath('peft-lora'), directory, { recursive: true })
  return directory
}

const refused: Readonly<Record<string, RegExp>> = {
  'use_dora=true': /adapter_config\.json: use_dora is not implemented/,
  'modules_to_save=["wte"]': /modules_to_save is not implemented/,
  'layers_to_transform=[0]': /layers_to_transform is not implemented/,
  'trainable_token_indices=[1]': /trainable_token_indices is not implemented/,
  'lora_bias=true': /lora_bias is not implemented/,
  'bias="all"': /adapter_config\.json: bias: .*"none"/,
  'peft_type="IA3"': /adapter_config\.json: peft_type: .*"LORA"/,
  'init_lora_weights="pissa"': /init_lora_weights: 'pissa' trains against changed base weights/,
  'r=3': /transformer\.h\.0\.attn\.c_attn: expected rank 3 by adapter_config\.json, got 4/,
  'r=0': /adapter_config\.json: r: /,
  'rank_pattern={"(":3}': /adapter_config\.json: rank_pattern\.\(: /,
}

for (const [change, message] of Object.entries(refused)) {
  t.test(`a plain PEFT LoRA with ${change} is refused by name`, async (t) => {
    const directory = copyOf(t)
    const path = join(directory, 'adapter_config.json')
    const [field = '', value = ''] = change.split(/=(.*)/)
    writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), [field]: JSON.parse(value) }))
    await t.rejects(readAdapter(directory), { code: 'adapter_invalid', message })
  })
}
