/** A base model directory: configuration, float32 weights in one safetensors file, tokenizer, generation settings. */
import { createHash } from 'node:crypto'
import { basename, join, resolve } from 'node:path'
import { z } from 'zod'
import { errors } from '../errors.ts'
import { type Gpt2Config, gpt2Tensors, parseGpt2Config } from './gpt2-config.ts'
import { readJsonFile, rethrowing } from './json-file.ts'
import {
  blockSizes,
  dequantize,
  packedName,
  type Quantization,
  quantizedMatrices,
  scalesName,
  storedTensors,
} from './quantization.ts'
import { readSafetensorsHeader, readTensor, readTensorBytes, type SafetensorsFile } from './safetensors.ts'

export type { Gpt2Config } from './gpt2-config.ts'

export interface BaseModel {
  readonly name: string
  readonly directory: string
  /** Over weights (before any quantisation), configuration and tokenizer: `sha256:<hex>`. Adapters are pinned to it. */
  readonly digest: string
  readonly config: Gpt2Config
  readonly weights: SafetensorsFile
  /** How its matrices are stored; null is float32. */
  readonly quantization: Quantization | null
  readonly eosTokenIds: readonly number[]
  readonly bosTokenId: number | null
}

export const baseFormatVersion = 1

/** The files of the directory. */
export const baseFiles = {
  config: 'config.json',
  weights: 'model.safetensors',
  graph: 'model.onnx',
  tokenizer: 'tokenizer.json',
  generation: 'generation_config.json',
  dylora: 'dylora_base.json',
} as const

const DyloraBase = z.object({
  formatVersion: z.literal(baseFormatVersion),
  digest: z.string().regex(/^sha256:[0-9a-f]{64}$/, 'expected sha256:<hex>'),
  source: z.record(z.string(), z.unknown()),
  quantization: z.strictObject({ bits: z.literal([4, 8]), blockSize: z.literal(blockSizes) }).optional(),
})
export type DyloraBaseJson = z.infer<typeof DyloraBase>

const tokenId = z.int().min(0)
const GenerationConfig = z.object({
  bos_token_id: tokenId.nullish(),
  eos_token_id: z.union([tokenId, z.array(tokenId)]).nullish(),
})

/** Reads and checks a base directory; the weights stay in their file. Throws `base_model_invalid`. */
export async function readBaseModel(directory: string): Promise<BaseModel> {
  const fail = (reason: string) => errors.baseModelInvalid(directory, reason)
  const dylora = await readJsonFile(join(directory, baseFiles.dylora), DyloraBase, fail)
  const config = parseGpt2Config(await readJsonFile(join(directory, baseFiles.config), z.unknown(), fail), fail)
  const generation = await readJsonFile(join(directory, baseFiles.generation), GenerationConfig, fail)
  const eos = generation.eos_token_id ?? []
  const quantization = dylora.quantization ?? null
  return {
    name: basename(resolve(directory)),
    directory: resolve(directory),
    digest: dylora.digest,
    config,
    weights: await readWeights(directory, config, quantization, fail),
    quantization,
    eosTokenIds: typeof eos === 'number' ? [eos] : eos,
    bosTokenId: generation.bos_token_id ?? null,
  }
}

async function readWeights(
  directory: string,
  config: Gpt2Config,
  quantization: Quantization | null,
  fail: (reason: string) => Error,
) {
  const file = await rethrowing(fail, () => readSafetensorsHeader(join(resolve(directory), baseFiles.weights)))
  const expected = storedTensors(config, quantization)
  for (const [name, { dtype, shape }] of expected) {
    const entry = file.tensors.get(name)
    if (!entry) throw fail(`tensor '${name}' is missing`)
    const got = `${entry.dtype} [${entry.shape}]`
    if (got !== `${dtype} [${shape}]`) throw fail(`tensor '${name}': expected ${dtype} [${shape}], got ${got}`)
  }
  const unexpected = [...file.tensors.keys()].find((name) => !expected.has(name))
  if (unexpected !== undefined) throw fail(`tensor '${unexpected}' is not expected`)
  return file
}

/** A weight by its Hugging Face name, as the float32 values that are computed with. */
export async function readWeight({ weights, config, quantization }: BaseModel, name: string): Promise<Float32Array> {
  const matrix = quantization === null ? undefined : quantizedMatrices(config).get(name)
  if (quantization === null || matrix === undefined) return readTensor(weights, name)
  const packed = await readTensorBytes(weights, packedName(name))
  return dequantize({ packed, scales: await readTensor(weights, scalesName(name)) }, matrix, quantization)
}

/** The digest of a base: the same for every storage dtype that holds the same float32 values, and for every file order. */
export async function baseDigest(
  weight: (name: string) => Promise<Float32Array>,
  config: Gpt2Config,
  tokenizer: Uint8Array,
): Promise<string> {
  const hash = createHash('sha256')
  hash.update(JSON.stringify(Object.entries(config).sort(([a], [b]) => (a < b ? -1 : 1))))
  for (const [name, shape] of gpt2Tensors(config)) {
    const values = await weight(name)
    hash.update(`\n${name} [${shape}]\n`)
    hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  }
  hash.update('\ntokenizer\n').update(tokenizer)
  return `sha256:${hash.digest('hex')}`
}
