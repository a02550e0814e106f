/** LoRAs trained elsewhere become adapters: PyTorch's logits at every rank, there and back, and what does not fit is named. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Adapter } from '../../src/dylora/adapter.ts'
import { readAdapter } from '../../src/dylora/adapter-directory.ts'
import { exportAdapter } from '../../src/dylora/export.ts'
import { importCheckpoint } from '../../src/dylora/import.ts'
import { importLora } from '../../src/dylora/lora-import.ts'
import { readSafetensorsHeader, readTensor, type TensorSource, writeSafetensors } from '../../src/dylora/safetensors.ts'
import { fixturePath, goldenBatch, readAll } from '../fixtures/golden.ts'
import { adaptedLogits, largestDifference } from '../fixtures/serving.ts'

const root = t.testdir()
const { base } = await importCheckpoint(fixturePath('gpt2'), join(root, 'base'))
const ids = goldenBatch().inputIds[0] ?? []
const loralib = (name: string) => fixturePath('loralib', name)

/** The largest difference over the largest logit. */
async function relativeError(adapter: Adapter, rank: number, expected: Float32Array | undefined): Promise<number> {
  const golden = expected ?? new Float32Array()
  const zero = new Float32Array(golden.length)
  return largestDifference(await adaptedLogits(base, adapter, rank, ids), golden) / largestDifference(golden, zero)
}

type Edit = (tensors: Map<string, TensorSource>) => void

/** Weights of a fixture, in a file that a test may break. */
async function rewritten(from: string, to: string, edit: Edit): Promise<string> {
  const file = await readSafetensorsHeader(from)
  const tensors = new Map<string, TensorSource>()
  for (const { name, shape } of file.tensors.values()) {
    tensors.set(name, { name, shape, data: await readTensor(file, name) })
  }
  edit(tensors)
  await writeSafetensors(to, tensors.values())
  return to
}

const attention = 'transformer.h.1.attn.c_attn'

function set(tensors: Map<string, TensorSource>, name: string, shape: readonly number[], fill = 0.1): void {
  tensors.set(name, { name, shape, data: new Float32Array(shape.reduce((n, size) => n * size, 1)).fill(fill) })
}

for (const [name, file, alpha, ranks] of [
  ['q-and-v', 'q-and-v.pt', 8, [1, 2, 3, 4]],
  ['q-and-v', 'q-and-v.safetensors', 8, [1, 2, 3, 4]],
  ['q-and-v', 'q-and-v-views.bin', 8, [1, 2, 3, 4]],
  ['fused', 'fused.pt', 6, [1, 2, 3]],
] as const) {
  t.test(`${file}: at every rank the logits are PyTorch's, and again after an export`, async (t) => {
    const directory = t.testdir()
    const adapter = await importLora(loralib(file), base, join(directory, 'a'), { loralib: { alpha } })
    t.match(adapter, { method: 'dylora', ranks, scaling: 'alpha/b', baseDigest: base.digest, baseModel: 'base' })
    t.strictSame(await readAdapter(join(directory, 'a')), adapter)
    const golden = await readAll('loralib', `${name}.golden.safetensors`)
    for (const rank of ranks) {
      t.ok((await relativeError(adapter, rank, golden.get(`logits.${rank}`))) < 1e-5, `rank ${rank}`)
      await exportAdapter(adapter, rank, join(directory, 'cut'))
      const cut = await readAdapter(join(directory, 'cut'))
      t.ok((await relativeError(cut, rank, golden.get(`logits.${rank}`))) < 1e-5, `rank ${rank} exported`)
    }
  })
}

t.test('a loralib checkpoint taken for a LoRA serves its own rank', async (t) => {
  const options = { loralib: { alpha: 8, method: 'lora' } } as const
  const adapter = await importLora(loralib('q-and-v.pt'), base, join(t.testdir(), 'a'), options)
  t.match(adapter, { method: 'lora', ranks: [4], targetModules: ['q_proj', 'v_proj'] })
  const golden = await readAll('loralib', 'q-and-v.golden.safetensors')
  t.ok((await relativeError(adapter, 4, golden.get('logits.4'))) < 1e-5)
})

t.test(
  'of the checkpoint of a whole model the factors are read, if the other weights are those of the base',
  async (t) => {
    const directory = t.testdir()
    const adapter = await importLora(loralib('whole.ckpt'), base, join(directory, 'a'), { loralib: { alpha: 8 } })
    const exact = await importLora(loralib('q-and-v.pt'), base, join(directory, 'b'), { loralib: { alpha: 8 } })
    for (const [key, { loraA, loraB }] of exact.factors) {
      t.ok(largestDifference(adapter.factors.get(key)?.loraA ?? [], loraA) < 1e-3, key)
      t.ok(largestDifference(adapter.factors.get(key)?.loraB ?? [], loraB) < 1e-3, key)
    }
    cpSync(fixturePath('gpt2'), join(directory, 'changed'), { recursive: true })
    const weights = join(directory, 'changed', 'model.safetensors')
    const bytes = readFileSync(weights)
    bytes.writeFloatLE(1000, bytes.length - 4)
    writeFileSync(weights, bytes)
    const { base: other } = await importCheckpoint(join(directory, 'changed'), join(directory, 'other'))
    await t.rejects(importLora(loralib('whole.ckpt'), other, join(directory, 'c'), { loralib: { alpha: 8 } }), {
      code: 'checkpoint_invalid',
      message: /tensor 'module\.transformer\.[\w.]+' differs from the base's \(by \d.*another base, merged factors/,
    })
  },
)

t.test('an imported adapter has no curve, and says where it came from', async (t) => {
  const prompt = { prefix: [4], suffix: [0, 1] }
  const options = { loralib: { alpha: 8 }, prompt }
  const adapter = await importLora(loralib('q-and-v.pt'), base, join(t.testdir(), 'a'), options)
  t.strictSame([adapter.quality, adapter.prompt], [[], prompt])
  t.match(adapter.training, {
    importedFrom: { format: 'loralib', file: 'q-and-v.pt', digest: /^sha256:[0-9a-f]{64}$/ },
  })
  t.strictSame(Object.keys(adapter.training), ['importedFrom'])
})

for (const name of ['peft-lora', 'peft-lora-patterns', 'peft-rslora']) {
  t.test(`${name}: imported, and exported again, the logits are PEFT's`, async (t) => {
    const directory = t.testdir()
    const adapter = await importLora(fixturePath(name), base, join(directory, 'a'))
    t.match(adapter, { method: 'lora', baseDigest: base.digest, training: { importedFrom: { format: 'peft' } } })
    const golden = (await readAll(name, 'golden.safetensors')).get('logits')
    t.ok((await relativeError(adapter, adapter.maxRank, golden)) < 1e-5)
    await exportAdapter(adapter, adapter.maxRank, join(directory, 'out'))
    t.ok((await relativeError(await readAdapter(join(directory, 'out')), adapter.maxRank, golden)) < 1e-5)
    const byFile = await importLora(join(fixturePath(name), 'adapter_model.safetensors'), base, join(directory, 'b'))
    t.equal(byFile.digest, adapter.digest)
  })
}

t.test('the pickled weights of an older PEFT are read as well', async (t) => {
  const directory = t.testdir({ old: {} })
  cpSync(join(fixturePath('peft-lora'), 'adapter_config.json'), join(directory, 'old', 'adapter_config.json'))
  cpSync(loralib('peft-lora.bin'), join(directory, 'old', 'adapter_model.bin'))
  const adapter = await importLora(join(directory, 'old'), base, join(directory, 'a'))
  t.equal(adapter.digest, (await importLora(fixturePath('peft-lora'), base, join(directory, 'b'))).digest)
})

const brokenLoralib: Readonly<Record<string, { edit: Edit; message: RegExp; options?: object }>> = {
  'no B': {
    edit: (tensors) => tensors.delete(`${attention}.lora_B`),
    message: /tensor 'transformer\.h\.1\.attn\.c_attn\.lora_B' is missing/,
  },
  'no factors in a layer': {
    edit: (tensors) => {
      for (const half of ['A', 'B']) tensors.delete(`${attention}.lora_${half}`)
    },
    message: /expected 2 layers as in the base, got 1/,
  },
  'one layer too many': {
    edit: (tensors) => {
      set(tensors, 'transformer.h.2.attn.c_attn.lora_A', [8, 32])
      set(tensors, 'transformer.h.2.attn.c_attn.lora_B', [64, 4])
    },
    message: /tensor 'transformer\.h\.2\.attn\.c_attn\.lora_A': the base has 2 layers/,
  },
  'the width of another base': {
    edit: (tensors) => set(tensors, `${attention}.lora_A`, [8, 48]),
    message: /expected \[\.\., 32\], got \[8,48\]/,
  },
  'too few rows of A': {
    edit: (tensors) => set(tensors, `${attention}.lora_A`, [4, 32]),
    message: /c_attn\.lora_A': expected \[8,32\] to go with its lora_B, got \[4,32\]/,
  },
  'rows that make no groups': {
    edit: (tensors) => set(tensors, `${attention}.lora_B`, [60, 4]),
    message: /expected 1 to 3 groups of 32 rows, got \[60,4\]/,
  },
  'another rank in one layer': {
    edit: (tensors) => {
      set(tensors, `${attention}.lora_A`, [6, 32])
      set(tensors, `${attention}.lora_B`, [64, 3])
    },
    message: /c_attn\.lora_B': expected rank 4 as in the others, got 3/,
  },
  'one group': {
    edit: (tensors) => {
      set(tensors, `${attention}.lora_A`, [4, 32])
      set(tensors, `${attention}.lora_B`, [32, 4])
    },
    message: /adapts 1 of q_proj, k_proj, v_proj: say which by the target modules/,
  },
  'other modules than asked for': {
    edit: () => {},
    options: { targetModules: ['q_proj', 'v_proj', 'fc_in'] },
    message: /it adapts q_proj, v_proj, and the target modules asked for are q_proj, v_proj, fc_in/,
  },
  'a value that is no number': {
    edit: (tensors) => set(tensors, `${attention}.lora_A`, [8, 32], Number.NaN),
    message: /c_attn\.lora_A': expected finite values, got NaN at 0/,
  },
  'factors of an embedding': {
    edit: (tensors) => set(tensors, 'transformer.wte.lora_A', [4, 300]),
    message: /tensor 'transformer\.wte\.lora_A' belongs to no known target module/,
  },
  'a trained head': {
    edit: (tensors) => set(tensors, 'score.weight', [2, 32]),
    message: /tensor 'score\.weight' is neither a factor nor a weight of the base/,
  },
  'a trained bias': {
    edit: (tensors) => set(tensors, `${attention}.bias`, [96]),
    message: /c_attn\.bias' differs from the base's .* a trained weight/,
  },
  "PEFT's names": {
    edit: (tensors) => set(tensors, 'base_model.model.transformer.h.0.mlp.c_fc.lora_A.weight', [4, 32]),
    message: /its names are PEFT's: expected adapter_config\.json beside adapter_model\.safetensors/,
  },
  nothing: { edit: (tensors) => tensors.clear(), message: /there are no factors in it/ },
}

for (const [what, { edit, message, options }] of Object.entries(brokenLoralib)) {
  t.test(`a loralib checkpoint with ${what}: refused with a reason`, async (t) => {
    const directory = t.testdir()
    const path = await rewritten(loralib('q-and-v.safetensors'), join(directory, 'x.safetensors'), edit)
    await t.rejects(importLora(path, base, join(directory, 'a'), { loralib: { alpha: 8, ...options } }), { message })
    t.strictSame(readdirSync(directory), ['x.safetensors'], 'nothing is written')
  })
}

t.test('groups are given their modules, in the order of the outputs', async (t) => {
  const directory = t.testdir()
  const options = { loralib: { alpha: 8, targetModules: ['k_proj', 'q_proj'] } } as const
  const adapter = await importLora(loralib('q-and-v.pt'), base, join(directory, 'a'), options)
  const usual = await importLora(loralib('q-and-v.pt'), base, join(directory, 'b'), { loralib: { alpha: 8 } })
  t.strictSame(adapter.targetModules, ['q_proj', 'k_proj'])
  t.strictSame(adapter.factors.get('0.k_proj'), usual.factors.get('0.v_proj'))
})

t.test('what only the caller knows is asked for, and what PEFT says itself is not taken', async (t) => {
  const out = join(t.testdir(), 'a')
  const message = /^alpha: expected that of the training/
  await t.rejects(importLora(loralib('q-and-v.pt'), base, out), { code: 'validation', message })
  for (const given of [{ alpha: 8 }, { method: 'dylora' }, { targetModules: ['q_proj'] }] as const) {
    await t.rejects(importLora(fixturePath('peft-lora'), base, out, { loralib: given }), {
      code: 'validation',
      message: new RegExp(`^${Object.keys(given)[0]} is not for a PEFT LoRA`),
    })
  }
})

t.test('an encoder is refused by its name', async (t) => {
  const message =
    /'roberta\.encoder\.layer\.0\.attention\.self\.query\.lora_A' is of RoBERTa, and only GPT-2 is implemented/
  const out = join(t.testdir(), 'a')
  await t.rejects(importLora(loralib('roberta.pt'), base, out), { code: 'checkpoint_invalid', message })
})

/** A PEFT LoRA with these fields changed, and without weights. */
function peftConfig(parent: string, config: object): string {
  const directory = join(parent, 'peft')
  mkdirSync(directory)
  const written = JSON.parse(readFileSync(join(fixturePath('peft-lora'), 'adapter_config.json'), 'utf8'))
  writeFileSync(join(directory, 'adapter_config.json'), JSON.stringify({ ...written, ...config }))
  return directory
}

const inPeft = 'base_model.model.transformer.h.1.attn.c_attn'
const brokenPeft: Readonly<Record<string, { config?: object; edit?: Edit; message: RegExp }>> = {
  DoRA: { config: { use_dora: true }, message: /adapter_config\.json: use_dora is not implemented/ },
  biases: { config: { bias: 'lora_only' }, message: /adapter_config\.json: bias: / },
  'whole modules': { config: { modules_to_save: ['wte'] }, message: /modules_to_save is not implemented/ },
  'a magnitude vector': {
    edit: (tensors) => set(tensors, `${inPeft}.lora_magnitude_vector`, [96]),
    message: /lora_magnitude_vector' belongs to no known target module/,
  },
  'the names of RoBERTa': {
    edit: (tensors) =>
      set(tensors, 'base_model.model.roberta.encoder.layer.0.attention.self.query.lora_A.weight', [4, 32]),
    message: /query\.lora_A\.weight' is of RoBERTa, and only GPT-2 is implemented/,
  },
  'a missing tensor': {
    edit: (tensors) => tensors.delete(`${inPeft}.lora_A.weight`),
    message: /tensor 'base_model\.model\.transformer\.h\.1\.attn\.c_attn\.lora_A\.weight' is missing/,
  },
  'outputs of another base': {
    edit: (tensors) => set(tensors, `${inPeft}.lora_B.weight`, [48, 4]),
    message: /c_attn\.lora_B\.weight': expected \[96, \.\.\], got \[48,4\]/,
  },
  'inputs of another base': {
    edit: (tensors) => set(tensors, `${inPeft}.lora_A.weight`, [4, 48]),
    message: /c_attn\.lora_A\.weight': expected \[\.\., 32\], got \[4,48\]/,
  },
  'halves of different rank': {
    edit: (tensors) => set(tensors, `${inPeft}.lora_B.weight`, [96, 3]),
    message: /c_attn\.lora_B\.weight': expected \[96,4\] to go with its lora_A/,
  },
  'an infinite value': {
    edit: (tensors) => set(tensors, `${inPeft}.lora_B.weight`, [96, 4], Number.POSITIVE_INFINITY),
    message: /expected finite values, got Infinity at 0/,
  },
}

for (const [what, { config = {}, edit = () => {}, message }] of Object.entries(brokenPeft)) {
  t.test(`a PEFT LoRA with ${what}: refused with a reason`, async (t) => {
    const directory = peftConfig(t.testdir(), config)
    await rewritten(
      fixturePath('peft-lora', 'adapter_model.safetensors'),
      join(directory, 'adapter_model.safetensors'),
      edit,
    )
    const out = join(directory, '..', 'out')
    await t.rejects(importLora(directory, base, out), { code: 'checkpoint_invalid', message })
    t.notOk(existsSync(out), 'nothing is written')
  })
}

t.test('what is no LoRA, or no place for an adapter, is refused with a reason', async (t) => {
  const directory = t.testdir({ empty: {}, full: { 'thesis.tex': 'all of it' }, noise: 'noise and more noise' })
  const out = join(directory, 'out')
  const options = { loralib: { alpha: 8 } }
  const from = (source: string, to = out) => importLora(source, base, to, options)
  await t.rejects(from(join(directory, 'none')), { code: 'checkpoint_invalid', message: /there is no none/ })
  await t.rejects(from(join(directory, 'empty')), {
    message: /there is no adapter_config\.json; of a loralib checkpoint/,
  })
  await t.rejects(from(join(directory, 'noise')), { code: 'checkpoint_invalid', message: /the header is said to have/ })
  await t.rejects(from(loralib('q-and-v.pt'), join(directory, 'full')), {
    code: 'adapter_invalid',
    message: /something else/,
  })
  const adapter = join(directory, 'adapter')
  await from(loralib('q-and-v.pt'), adapter)
  await t.rejects(from(adapter), { message: /it is an adapter of this project already/ })
  await from(loralib('q-and-v-bfloat16.pt'), adapter)
  t.match((await readAdapter(adapter)).training, { importedFrom: { file: 'q-and-v-bfloat16.pt' } }, 'replaced')
  const outside = { ...options, prompt: { prefix: [], suffix: [300] } }
  await t.rejects(importLora(loralib('q-and-v.pt'), base, out, outside), {
    message: /prompt token 300 is not in the base/,
  })
})

t.test('a configuration without weights beside it is refused', async (t) => {
  await t.rejects(importLora(peftConfig(t.testdir(), {}), base, join(root, 'none')), {
    message: /neither adapter_model\.safetensors nor adapter_model/,
  })
})
