/** Import of Hugging Face checkpoints: the logits are those of transformers, and what does not fit is named. */
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readBaseModel } from '../../src/dylora/base-model.ts'
import { importCheckpoint } from '../../src/dylora/import.ts'
import { readSafetensorsHeader, readTensor, type TensorSource, writeSafetensors } from '../../src/dylora/safetensors.ts'
import { readTokenizer } from '../../src/dylora/tokenizer.ts'
import { checkpoints, fixturePath, goldenPrompts, readAll } from '../fixtures/golden.ts'
import { baseLogits, largestDifference } from '../fixtures/serving.ts'

type Tap = { testdir(): string }

/** A copy of a checkpoint that the test may break. */
function copyOf(t: Tap, checkpoint: string): string {
  const directory = join(t.testdir(), 'checkpoint')
  cpSync(fixturePath(checkpoint), directory, { recursive: true })
  return directory
}

function editJson(path: string, edit: (json: Record<string, unknown>) => void): void {
  const json = JSON.parse(readFileSync(path, 'utf8'))
  edit(json)
  writeFileSync(path, JSON.stringify(json))
}

/** Rewrites the weights of a copy. */
async function editWeights(directory: string, edit: (tensors: Map<string, TensorSource>) => void): Promise<void> {
  const path = join(directory, 'model.safetensors')
  const file = await readSafetensorsHeader(path)
  const tensors = new Map<string, TensorSource>()
  for (const { name, shape } of file.tensors.values()) {
    tensors.set(name, { name, shape, data: await readTensor(file, name) })
  }
  edit(tensors)
  await writeSafetensors(path, tensors.values())
}

for (const checkpoint of checkpoints) {
  t.test(`${checkpoint}: logits and token ids are those of transformers`, async (t) => {
    const out = join(t.testdir(), 'base')
    await importCheckpoint(fixturePath(checkpoint), out)
    const base = await readBaseModel(out)
    const tokenizer = await readTokenizer(out)
    for (const { text, ids, decoded, logits } of await goldenPrompts(checkpoint)) {
      t.strictSame(tokenizer.encode(text), ids)
      t.equal(tokenizer.decode(ids), decoded)
      t.ok(largestDifference(await baseLogits(base, ids), logits) < 1e-5, `logits of '${text}'`)
    }
  })
}

t.test('configuration is read from the variants', async (t) => {
  const { base } = await importCheckpoint(fixturePath('gpt2-untied'), join(t.testdir(), 'untied'))
  t.match(base, {
    name: 'untied',
    eosTokenIds: [0, 5],
    bosTokenId: 0,
    config: { tiedHead: false, headSize: 12, innerSize: 40, activation: 'gelu', scaleByLayer: true, layers: 2 },
  })
})

t.test('absent bos, eos and generation settings are filled in, and said', async (t) => {
  const out = join(t.testdir(), 'base')
  const { base, notes } = await importCheckpoint(fixturePath('gpt2-float16-buffers'), out)
  t.strictSame([base.bosTokenId, base.eosTokenIds], [0, [0]])
  t.match(notes, [/^bos_token_id is taken to be 0/, /^eos_token_id is taken to be 0/])
  t.strictSame(JSON.parse(readFileSync(join(out, 'generation_config.json'), 'utf8')), {
    bos_token_id: 0,
    eos_token_id: 0,
  })
})

t.test('an eos outside the vocabulary, as transformers writes by default, is replaced', async (t) => {
  const source = copyOf(t, 'gpt2')
  for (const name of ['config.json', 'generation_config.json']) {
    editJson(join(source, name), (json) => Object.assign(json, { bos_token_id: 50256, eos_token_id: 50256 }))
  }
  writeFileSync(join(source, 'tokenizer_config.json'), JSON.stringify({ eos_token: { content: '!' } }))
  const { base, notes } = await importCheckpoint(source, join(source, '..', 'base'))
  t.strictSame([base.bosTokenId, base.eosTokenIds], [0, [1]])
  t.match(notes[0], /50256 is not all in the vocabulary/)
})

t.test('the digest is of the values: one for every storage of them, another for other values', async (t) => {
  const directory = t.testdir()
  const digestOf = async (source: string) => (await importCheckpoint(source, join(directory, 'base'))).base.digest
  const source = join(directory, 'checkpoint')
  cpSync(fixturePath('gpt2-bfloat16'), source, { recursive: true })
  const digest = await digestOf(source)
  await editWeights(source, (tensors) => {
    for (const [name, tensor] of [...tensors].reverse()) {
      tensors.delete(name)
      tensors.set(name, { ...tensor, name: name.replace('transformer.', '') })
    }
  })
  t.equal(await digestOf(source), digest, 'float32, other order, no prefix')
  editJson(join(source, 'config.json'), (json) => Object.assign(json, { layer_norm_epsilon: 1e-6 }))
  t.not(await digestOf(source), digest, 'another epsilon')
})

t.test('a head that equals the embedding is tied; it may stand for both; one that differs is its own', async (t) => {
  const source = copyOf(t, 'gpt2')
  const out = join(source, '..', 'base')
  const wte = (await readAll('gpt2', 'model.safetensors')).get('transformer.wte.weight') ?? new Float32Array()
  const head: TensorSource = { name: 'lm_head.weight', shape: [300, 32], data: wte }
  editJson(join(source, 'config.json'), (json) => Object.assign(json, { tie_word_embeddings: false }))
  await editWeights(source, (tensors) => tensors.set(head.name, head))
  t.equal((await importCheckpoint(source, out)).base.config.tiedHead, true, 'equal')
  editJson(join(source, 'config.json'), (json) => Object.assign(json, { tie_word_embeddings: true }))
  await editWeights(source, (tensors) => tensors.delete('transformer.wte.weight'))
  const { base } = await importCheckpoint(source, out)
  t.strictSame(await readTensor(base.weights, 'wte.weight'), wte, 'only the head is stored')
  await editWeights(source, (tensors) => {
    tensors.set('transformer.wte.weight', { ...head, name: 'transformer.wte.weight', data: wte.map((x) => x + 1) })
  })
  const differs = await importCheckpoint(source, out)
  t.equal(differs.base.config.tiedHead, false, 'different')
  t.ok(differs.base.weights.tensors.has('lm_head.weight'))
})

t.test('a tokenizer of vocab.json and merges.txt gives the same ids', async (t) => {
  const source = copyOf(t, 'gpt2')
  const { model } = JSON.parse(readFileSync(join(source, 'tokenizer.json'), 'utf8'))
  const merges = model.merges.map((merge: string | string[]) => (Array.isArray(merge) ? merge.join(' ') : merge))
  rmSync(join(source, 'tokenizer.json'))
  writeFileSync(join(source, 'vocab.json'), JSON.stringify(model.vocab))
  writeFileSync(join(source, 'merges.txt'), ['#version: 0.2', ...merges, ''].join('\n'))
  await importCheckpoint(source, join(source, '..', 'base'))
  const tokenizer = await readTokenizer(join(source, '..', 'base'))
  for (const { text, ids } of await goldenPrompts('gpt2')) t.strictSame(tokenizer.encode(text), ids)
  t.ok(tokenizer.isSpecial(0))
})

t.test('a base is replaced by an import, anything else is left alone', async (t) => {
  const directory = t.testdir({ mine: { 'thesis.txt': 'x' } })
  const into = (name: string, checkpoint: string) => importCheckpoint(fixturePath(checkpoint), join(directory, name))
  await into('base', 'gpt2')
  t.equal((await into('base', 'gpt2-sharded')).base.config.heads, 3)
  await t.rejects(into('mine', 'gpt2'), {
    code: 'base_model_invalid',
    message: /there is something else in this place/,
  })
  t.strictSame(readdirSync(join(directory, 'mine')), ['thesis.txt'])
  t.strictSame(readdirSync(directory).sort(), ['base', 'mine'])
})

const configFaults: Readonly<Record<string, { edit: Record<string, unknown>; reason: RegExp }>> = {
  'another architecture': { edit: { model_type: 'llama' }, reason: /model_type: .*"gpt2"/ },
  'an unknown activation': {
    edit: { activation_function: 'silu' },
    reason: /activation_function: 'silu' is not implemented; known are gelu_new,/,
  },
  'cross attention': { edit: { add_cross_attention: true }, reason: /add_cross_attention is not implemented/ },
  quantisation: { edit: { quantization_config: { bits: 4 } }, reason: /quantization_config is not implemented/ },
  'pruned heads': { edit: { pruned_heads: { 0: [1] } }, reason: /pruned_heads is not implemented/ },
  'code of its own': { edit: { auto_map: { AutoModel: 'm.M' } }, reason: /auto_map is not implemented/ },
  'heads that do not divide the width': { edit: { n_head: 5 }, reason: /n_embd 32 is not a multiple of n_head 5/ },
  'a negative width': { edit: { n_embd: -1 }, reason: /config\.json: n_embd: / },
  'another width': { edit: { n_embd: 64 }, reason: /'wte\.weight': expected \[300,64\], got \[300,32\]/ },
  'a layer too many': { edit: { n_layer: 3 }, reason: /'h\.2\.ln_1\.weight' is missing/ },
  'a layer too few': { edit: { n_layer: 1 }, reason: /'h\.1\.[a-z._1_2]+' is not expected/ },
  'an untied head that is not there': { edit: { tie_word_embeddings: false }, reason: /'lm_head\.weight' is missing/ },
}

for (const [what, { edit, reason }] of Object.entries(configFaults)) {
  t.test(`${what} is refused by name`, async (t) => {
    const source = copyOf(t, 'gpt2')
    editJson(join(source, 'config.json'), (json) => Object.assign(json, edit))
    const out = join(source, '..', 'base')
    await t.rejects(importCheckpoint(source, out), { code: 'checkpoint_invalid', message: reason })
    t.strictSame(readdirSync(join(source, '..')), ['checkpoint'], 'nothing is left')
  })
}

type WeightEdit = (tensors: Map<string, TensorSource>) => void
const bias = 'transformer.h.0.ln_1.bias'
const weightFaults: Readonly<Record<string, { edit: WeightEdit; reason: RegExp }>> = {
  'a missing tensor': { edit: (tensors) => tensors.delete(bias), reason: /tensor 'h\.0\.ln_1\.bias' is missing/ },
  'an unexpected tensor': {
    edit: (tensors) => tensors.set('score.weight', { name: 'score.weight', shape: [1], data: Float32Array.of(1) }),
    reason: /tensor 'score\.weight' is not expected/,
  },
  'a wrong shape': {
    edit: (tensors) => tensors.set(bias, { name: bias, shape: [31], data: new Float32Array(31) }),
    reason: /tensor 'h\.0\.ln_1\.bias': expected \[32\], got \[31\]/,
  },
  'a value that is not finite': {
    edit: (tensors) =>
      tensors.set(bias, { name: bias, shape: [32], data: new Float32Array(32).fill(Number.NaN, 7, 8) }),
    reason: /tensor 'h\.0\.ln_1\.bias': expected finite values, got NaN at 7/,
  },
  'a tensor under both of its names': {
    edit: (tensors) => tensors.set('wte.weight', { name: 'wte.weight', shape: [1], data: Float32Array.of(1) }),
    reason: /'wte\.weight' is there with and without 'transformer\.'/,
  },
}

for (const [what, { edit, reason }] of Object.entries(weightFaults)) {
  t.test(`${what} is refused by name`, async (t) => {
    const source = copyOf(t, 'gpt2')
    await editWeights(source, edit)
    await t.rejects(importCheckpoint(source, join(source, '..', 'base')), {
      code: 'checkpoint_invalid',
      message: reason,
    })
  })
}

t.test('a dtype that is no float is refused by name', async (t) => {
  const source = copyOf(t, 'gpt2')
  const path = join(source, 'model.safetensors')
  const bytes = readFileSync(path)
  const header = bytes.toString('latin1')
  const at = header.indexOf('"F32"', header.indexOf(`"${bias}"`))
  bytes.write('"I32"', at, 'latin1')
  writeFileSync(path, bytes)
  await t.rejects(importCheckpoint(source, join(source, '..', 'base')), {
    message: /'h\.0\.ln_1\.bias': expected F32, F16 or BF16, got I32/,
  })
})

const fileFaults: Readonly<Record<string, { break: (directory: string) => void; reason: RegExp }>> = {
  'no configuration': { break: (d) => rmSync(join(d, 'config.json')), reason: /there is no config\.json/ },
  'configuration that is not JSON': {
    break: (d) => writeFileSync(join(d, 'config.json'), '{'),
    reason: /config\.json: /,
  },
  'no weights': {
    break: (d) => rmSync(join(d, 'model.safetensors')),
    reason: /there is no model\.safetensors, no model\.safetensors\.index\.json and no model\.onnx/,
  },
  'pickled weights': {
    break: (d) => {
      rmSync(join(d, 'model.safetensors'))
      writeFileSync(join(d, 'pytorch_model.bin'), '')
    },
    reason: /its weights are in pytorch_model\.bin; save them as safetensors/,
  },
  'a shard outside the checkpoint': {
    break: (d) => {
      rmSync(join(d, 'model.safetensors'))
      writeFileSync(join(d, 'model.safetensors.index.json'), JSON.stringify({ weight_map: { x: '../secret' } }))
    },
    reason: /weight_map\.x: expected the name of a file beside the index/,
  },
  'a missing shard': {
    break: (d) => {
      rmSync(join(d, 'model.safetensors'))
      writeFileSync(join(d, 'model.safetensors.index.json'), JSON.stringify({ weight_map: { x: 'a.safetensors' } }))
    },
    reason: /there is no a\.safetensors/,
  },
  'an index that names a tensor that is not there': {
    break: (d) => {
      cpSync(join(d, 'model.safetensors'), join(d, 'a.safetensors'))
      rmSync(join(d, 'model.safetensors'))
      writeFileSync(join(d, 'model.safetensors.index.json'), JSON.stringify({ weight_map: { x: 'a.safetensors' } }))
    },
    reason: /is in a\.safetensors, and model\.safetensors\.index\.json does not say so/,
  },
  'no tokenizer': {
    break: (d) => rmSync(join(d, 'tokenizer.json')),
    reason: /there is neither tokenizer\.json nor vocab\.json with merges\.txt/,
  },
  'a tokenizer of another kind': {
    break: (d) =>
      editJson(join(d, 'tokenizer.json'), (json) => Object.assign(json, { decoder: { type: 'WordPiece' } })),
    reason: /tokenizer\.json: expected byte-level BPE/,
  },
  'a tokenizer larger than the vocabulary': {
    break: (d) => {
      const added = { id: 300, content: '[PAD]', special: true }
      editJson(join(d, 'tokenizer.json'), (json) => (json.added_tokens as unknown[]).push(added))
    },
    reason: /its tokenizer has 301 tokens, and config\.json says vocab_size 300/,
  },
}

for (const [what, fault] of Object.entries(fileFaults)) {
  t.test(`${what} is refused with a reason`, async (t) => {
    const source = copyOf(t, 'gpt2')
    fault.break(source)
    await t.rejects(importCheckpoint(source, join(source, '..', 'base')), {
      code: 'checkpoint_invalid',
      message: fault.reason,
    })
  })
}
