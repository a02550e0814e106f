/** Reading a base model directory: what it holds, and what is refused. */
import { cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readBaseModel } from '../../src/dylora/base-model.ts'
import { writeBaseModel } from '../../src/dylora/base-writer.ts'
import { gpt2ConfigJson, gpt2Tensors, parseGpt2Config } from '../../src/dylora/gpt2-config.ts'
import { importCheckpoint } from '../../src/dylora/import.ts'
import { readTensor } from '../../src/dylora/safetensors.ts'
import { fixturePath } from '../fixtures/golden.ts'

const fail = (reason: string) => new Error(reason)
const root = t.testdir()
const { base } = await importCheckpoint(fixturePath('gpt2-untied'), join(root, 'base'))

t.test('a configuration survives being written as config.json and read again', async (t) => {
  t.strictSame(parseGpt2Config(gpt2ConfigJson(base.config), fail), base.config)
})

t.test('what config.json leaves out takes the values of GPT-2', async (t) => {
  t.match(parseGpt2Config({ model_type: 'gpt2' }, fail), {
    vocabSize: 50257,
    positions: 1024,
    hiddenSize: 768,
    layers: 12,
    heads: 12,
    headSize: 64,
    innerSize: 3072,
    layerNormEpsilon: 1e-5,
    tiedHead: true,
    activation: 'gelu_tanh',
    scaleAttention: true,
    scaleByLayer: false,
  })
})

t.test('fields that change nothing are ignored', async (t) => {
  const harmless = { resid_pdrop: 0.1, use_cache: true, reorder_and_upcast_attn: true, summary_type: 'cls_index', x: 1 }
  t.doesNotThrow(() => parseGpt2Config({ model_type: 'gpt2', pruned_heads: {}, ...harmless }, fail))
})

t.test('a base that is written by hand is the same base', async (t) => {
  const content = {
    config: base.config,
    weight: (name: string) => readTensor(base.weights, name),
    tokenizer: readFileSync(join(base.directory, 'tokenizer.json')),
    bosTokenId: null,
    eosTokenIds: [7],
    source: { trained: true },
  }
  const written = await writeBaseModel(join(t.testdir(), 'again'), content)
  t.equal(written.digest, base.digest)
  t.match(written, { name: 'again', bosTokenId: null, eosTokenIds: [7] })
  t.strictSame([...written.weights.tensors.keys()], [...gpt2Tensors(base.config).keys()])
})

function edit(directory: string, name: string, change: (json: Record<string, unknown>) => void): void {
  const json = JSON.parse(readFileSync(join(directory, name), 'utf8'))
  change(json)
  writeFileSync(join(directory, name), JSON.stringify(json))
}

const faults: Readonly<Record<string, { break: (directory: string) => void; reason: RegExp }>> = {
  'no dylora_base.json': { break: (d) => rmSync(join(d, 'dylora_base.json')), reason: /there is no dylora_base\.json/ },
  'a format of the future': {
    break: (d) => edit(d, 'dylora_base.json', (json) => Object.assign(json, { formatVersion: 2 })),
    reason: /dylora_base\.json: formatVersion: .*1/,
  },
  'a digest that is none': {
    break: (d) => edit(d, 'dylora_base.json', (json) => Object.assign(json, { digest: 'x' })),
    reason: /dylora_base\.json: digest: expected sha256:<hex>/,
  },
  'truncated weights': {
    break: (d) => truncateSync(join(d, 'model.safetensors'), 9000),
    reason: /expected \d+ bytes in all, got 9000/,
  },
  'weights of another shape': {
    break: (d) => edit(d, 'config.json', (json) => Object.assign(json, { n_inner: 41 })),
    reason: /tensor 'h\.0\.mlp\.c_fc\.weight': expected F32 \[24,41\], got F32 \[24,40\]/,
  },
  'a weight that should not be there': {
    break: (d) => edit(d, 'config.json', (json) => Object.assign(json, { tie_word_embeddings: true })),
    reason: /tensor 'lm_head\.weight' is not expected/,
  },
  'an eos that is no token id': {
    break: (d) => edit(d, 'generation_config.json', (json) => Object.assign(json, { eos_token_id: 'x' })),
    reason: /generation_config\.json: eos_token_id/,
  },
}

for (const [what, fault] of Object.entries(faults)) {
  t.test(`${what}: refused with a reason`, async (t) => {
    const directory = join(t.testdir(), 'copy')
    cpSync(base.directory, directory, { recursive: true })
    fault.break(directory)
    await t.rejects(readBaseModel(directory), { code: 'base_model_invalid', message: fault.reason })
  })
}
