/** A base model directory: configuration, float32 weights in one safetensors file, tokenizer, generation settings. */
import { createHash } from 'node:crypto'
import { basename, join, resolve } from 'node:path'
import { z } from 'zod'
import { errors } from '../errors.ts'
import { type Gpt2Config, gpt2Tensors, parseGpt2Config } from './gpt2-config.ts'
import { readJsonFile, rethrowing } from './json-file.ts'
import { readSafetensorsHeader, readTensor, type SafetensorsFile } from './safetensors.ts'

export type { Gpt2Config } from './gpt2-config.ts'

export interface BaseModel {
  readonly name: string
  readonly directory: string
  /** Over weights, configuration and tokenizer: `sha256:<hex>`. Adapters are pinned to it. */
  readonly digest: string
  readonly config: Gpt2Config
  readonly weights: SafetensorsFile
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
  return {
    name: basename(resolve(directory)),
    directory: resolve(directory),
    digest: dylora.digest,
    config,
    weights: await readWeights(directory, config, fail),
    eosTokenIds: typeof eos === 'number' ? [eos] : eos,
    bosTokenId: generation.bos_token_id ?? null,
  }
}

async function readWeights(directory: string, config: Gpt2Config, fail: (reason: string) => Error) {
  const file = await rethrowing(fail, () => readSafetensorsHeader(join(resolve(directory), baseFiles.weights)))
  const expected = gpt2Tensors(config)
  for (const [name, shape] of expected) {
    const entry = file.tensors.get(name)
    if (!entry) throw fail(`tensor '${name}' is missing`)
    const got = `${entry.dtype} [${entry.shape}]`
    if (got !== `F32 [${shape}]`) throw fail(`tensor '${name}': expected F32 [${shape}], got ${got}`)
  }
  const unexpected = [...file.tensors.keys()].find((name) => !expected.has(name))
  if (unexpected !== undefined) throw fail(`tensor '${unexpected}' is not expected`)
  return file
}

/** The digest of a base: the same for every storage dtype that holds the same float32 values, and for every file order. */
export async function baseDigest(weights: SafetensorsFile, config: Gpt2Config, tokenizer: Uint8Array): Promise<string> {
  const hash = createHash('sha256')
  hash.update(JSON.stringify(Object.entries(config).sort(([a], [b]) => (a < b ? -1 : 1))))
  for (const [name, shape] of gpt2Tensors(config)) {
    const values = await readTensor(weights, name)
    hash.update(`\n${name} [${shape}]\n`)
    hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  }
  hash.update('\ntokenizer\n').update(tokenizer)
  return `sha256:${hash.digest('hex')}`
}
