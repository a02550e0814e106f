/** The weights of a Hugging Face GPT-2 checkpoint: one file or shards, under whichever of the usual names. */
import { join } from 'node:path'
import { z } from 'zod'
import { type Gpt2Config, gpt2Tensors } from './gpt2-config.ts'
import { readJsonFile, rethrowing } from './json-file.ts'
import { exists } from './publish.ts'
import { isFloat, readSafetensorsHeader, readTensor, type SafetensorsFile, type TensorEntry } from './safetensors.ts'

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

/** A stored tensor, and the file it is in. */
interface StoredTensor {
  readonly file: SafetensorsFile
  readonly entry: TensorEntry
}

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
    dtypes: [...new Set([...gpt2Tensors(config).keys()].flatMap((name) => tensors.get(name)?.entry.dtype ?? []))],
    weight: async (name) => {
      const values = await readStoredTensor(tensors, name)
      const bad = values.findIndex((value) => !Number.isFinite(value))
      if (bad >= 0) throw fail(`tensor '${name}': expected finite values, got ${values[bad]} at ${bad}`)
      return values
    },
  }
}

async function readStored(directory: string, fail: Fail): Promise<StoredTensor[]> {
  const there = (name: string) => exists(join(directory, name))
  if (await there(files.single)) return readShard(directory, files.single, fail)
  if (await there(files.index)) return readShards(directory, fail)
  for (const name of files.pickled) {
    if (await there(name)) {
      throw fail(`its weights are in ${name}; save them as safetensors (save_pretrained does so by itself)`)
    }
  }
  throw fail(`there is neither ${files.single} nor ${files.index}`)
}

async function readShard(directory: string, name: string, fail: Fail): Promise<StoredTensor[]> {
  const file = await rethrowing(fail, () => readSafetensorsHeader(join(directory, name)))
  return [...file.tensors.values()].map((entry) => ({ file, entry }))
}

async function readShards(directory: string, fail: Fail): Promise<StoredTensor[]> {
  const { weight_map: places } = await readJsonFile(join(directory, files.index), ShardIndex, fail)
  const found: StoredTensor[] = []
  for (const shard of new Set(Object.values(places))) {
    const stored = await readShard(directory, shard, fail)
    const stray = stored.find(({ entry }) => places[entry.name] !== shard)
    if (stray) throw fail(`tensor '${stray.entry.name}' is in ${shard}, and ${files.index} does not say so`)
    found.push(...stored)
  }
  const names = new Set(found.map(({ entry }) => entry.name))
  const missing = Object.keys(places).find((name) => !names.has(name))
  if (missing !== undefined) throw fail(`tensor '${missing}' is not in ${places[missing]} as ${files.index} says`)
  return found
}

/** Causal masks that older versions of transformers stored; they are no weights. */
const maskBuffer = /^h\.\d+\.attn\.(masked_)?bias$/

/** By name without `transformer.`, which the model without a head does not write. */
function rename(stored: readonly StoredTensor[], fail: Fail): Map<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>()
  for (const tensor of stored) {
    const name = tensor.entry.name.replace(/^transformer\./, '')
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

async function isSame(tensors: ReadonlyMap<string, StoredTensor>, one: string, other: string): Promise<boolean> {
  const [a, b] = [tensors.get(one)?.entry, tensors.get(other)?.entry]
  if (!a || !b || `${a.shape}` !== `${b.shape}` || !isFloat(a.dtype) || !isFloat(b.dtype)) return false
  const [x, y] = [await readStoredTensor(tensors, one), await readStoredTensor(tensors, other)]
  return x.every((value, i) => value === y[i])
}

function checkTensors(config: Gpt2Config, tensors: ReadonlyMap<string, StoredTensor>, fail: Fail): void {
  const expected = gpt2Tensors(config)
  for (const [name, shape] of expected) {
    const entry = tensors.get(name)?.entry
    if (!entry) throw fail(`tensor '${name}' is missing`)
    if (`${entry.shape}` !== `${shape}`) throw fail(`tensor '${name}': expected [${shape}], got [${entry.shape}]`)
    if (!isFloat(entry.dtype)) throw fail(`tensor '${name}': expected F32, F16 or BF16, got ${entry.dtype}`)
  }
  const unexpected = [...tensors.keys()].find((name) => !expected.has(name))
  if (unexpected !== undefined) throw fail(`tensor '${unexpected}' is not expected`)
}

async function readStoredTensor(tensors: ReadonlyMap<string, StoredTensor>, name: string): Promise<Float32Array> {
  const tensor = tensors.get(name)
  if (!tensor) throw new RangeError(`expected a tensor of the checkpoint, got '${name}'`)
  return readTensor(tensor.file, tensor.entry.name)
}
