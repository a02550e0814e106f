/** The weights of a Hugging Face GPT-2 checkpoint: one file, shards or an ONNX export, under whichever of the usual names. */
import { join } from 'node:path'
import { z } from 'zod'
import { type Gpt2Config, gpt2Tensors } from './gpt2-config.ts'
import { readJsonFile, rethrowing } from './json-file.ts'
import { findExport, readExport } from './onnx-export.ts'
import { exists } from './publish.ts'
import type { StoredTensor, StoredTensors } from './stored-tensors.ts'
import { readTensorFile } from './tensor-file.ts'

type Fail = (reason: string) => Error

const files = {
  single: 'model.safetensors',
  index: 'model.safetensors.index.json',
  pickled: ['pytorch_model.bin', 'pytorch_model.bin.index.json'],
} as const

const ShardIndex = z.object({
  // A name with a slash would read outside the checkpoint.
  weight_map: z.record(z.string(), z.string().regex(/^[^/\\]+$/, 'expected the name of a file beside the index')),
})

export interface Checkpoint {
  /** As read, but with `tiedHead` as the weights have it. */
  readonly config: Gpt2Config
  /** How the weights are stored: `BF16`, for instance. */
  readonly dtypes: readonly string[]
  /** A weight by its name without `transformer.`; throws when a value is not finite. */
  readonly weight: (name: string) => Promise<Float32Array>
}

/** Checks every tensor's name, shape and dtype against the configuration; reads none but to compare the two embeddings. */
export async function readCheckpoint(directory: string, declared: Gpt2Config, fail: Fail): Promise<Checkpoint> {
  const tensors = rename(await readStored(directory, fail), fail)
  const config = await resolveHead(declared, tensors)
  checkTensors(config, tensors, fail)
  return {
    config,
    dtypes: [...new Set([...gpt2Tensors(config).keys()].flatMap((name) => tensors.get(name)?.dtype ?? []))],
    weight: async (name) => {
      const values = await readStoredTensor(tensors, name)
      const bad = values.findIndex((value) => !Number.isFinite(value))
      if (bad >= 0) throw fail(`tensor '${name}': expected finite values, got ${values[bad]} at ${bad}`)
      return values
    },
  }
}

async function readStored(directory: string, fail: Fail): Promise<StoredTensors> {
  const there = (name: string) => exists(join(directory, name))
  if (await there(files.single)) return readShard(directory, files.single, fail)
  if (await there(files.index)) return readShards(directory, fail)
  const exported = await findExport(directory)
  if (exported !== null) return rethrowing(fail, () => readExport(exported))
  for (const name of files.pickled) {
    if (await there(name)) {
      throw fail(`its weights are in ${name}; save them as safetensors (save_pretrained does so by itself)`)
    }
  }
  throw fail(`there is no ${files.single}, no ${files.index} and no model.onnx`)
}

const readShard = (directory: string, name: string, fail: Fail): Promise<StoredTensors> =>
  rethrowing(fail, () => readTensorFile(join(directory, name)))

async function readShards(directory: string, fail: Fail): Promise<StoredTensors> {
  const { weight_map: places } = await readJsonFile(join(directory, files.index), ShardIndex, fail)
  const found = new Map<string, StoredTensor>()
  for (const shard of new Set(Object.values(places))) {
    for (const [name, tensor] of await readShard(directory, shard, fail)) {
      if (places[name] !== shard) throw fail(`tensor '${name}' is in ${shard}, and ${files.index} does not say so`)
      found.set(name, tensor)
    }
  }
  const missing = Object.keys(places).find((name) => !found.has(name))
  if (missing !== undefined) throw fail(`tensor '${missing}' is not in ${places[missing]} as ${files.index} says`)
  return found
}

/** Causal masks that older versions of transformers stored; they are no weights. */
const maskBuffer = /^h\.\d+\.attn\.(masked_)?bias$/

/** By name without `transformer.`, which the model without a head does not write. */
function rename(stored: StoredTensors, fail: Fail): Map<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>()
  for (const [storedName, tensor] of stored) {
    const name = storedName.replace(/^transformer\./, '')
    if (maskBuffer.test(name)) continue
    if (tensors.has(name)) throw fail(`tensor '${name}' is there with and without 'transformer.'`)
    tensors.set(name, tensor)
  }
  return tensors
}

/**
 * Is the output projection the token embedding? As in transformers the weights decide, where they say something: a head
 * that equals the embedding is tied, one that differs is not, and either may stand for both. Drops or moves a tied head.
 */
async function resolveHead(config: Gpt2Config, tensors: Map<string, StoredTensor>): Promise<Gpt2Config> {
  const head = tensors.get('lm_head.weight')
  if (!head) return config
  if (!tensors.has('wte.weight') && config.tiedHead) tensors.set('wte.weight', head)
  const tiedHead = tensors.has('wte.weight') && (await isSame(tensors, 'lm_head.weight', 'wte.weight'))
  if (tiedHead) tensors.delete('lm_head.weight')
  return { ...config, tiedHead }
}

async function isSame(tensors: StoredTensors, one: string, other: string): Promise<boolean> {
  const [a, b] = [tensors.get(one), tensors.get(other)]
  if (!a || !b || `${a.shape}` !== `${b.shape}` || !a.isFloat || !b.isFloat) return false
  const [x, y] = [await a.read(), await b.read()]
  return x.every((value, i) => value === y[i])
}

function checkTensors(config: Gpt2Config, tensors: StoredTensors, fail: Fail): void {
  const expected = gpt2Tensors(config)
  for (const [name, shape] of expected) {
    const entry = tensors.get(name)
    if (!entry) throw fail(`tensor '${name}' is missing`)
    if (`${entry.shape}` !== `${shape}`) throw fail(`tensor '${name}': expected [${shape}], got [${entry.shape}]`)
    if (!entry.isFloat) throw fail(`tensor '${name}': expected F32, F16 or BF16, got ${entry.dtype}`)
  }
  const unexpected = [...tensors.keys()].find((name) => !expected.has(name))
  if (unexpected !== undefined) throw fail(`tensor '${unexpected}' is not expected`)
}

async function readStoredTensor(tensors: StoredTensors, name: string): Promise<Float32Array> {
  const tensor = tensors.get(name)
  if (!tensor) throw new RangeError(`expected a tensor of the checkpoint, got '${name}'`)
  return tensor.read()
}
