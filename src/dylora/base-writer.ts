/** Writes a base model directory, whoever the weights come from: an imported checkpoint or the trainer. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errors } from '../errors.ts'
import {
  type BaseModel,
  baseDigest,
  baseFiles,
  baseFormatVersion,
  type DyloraBaseJson,
  readBaseModel,
} from './base-model.ts'
import { type Gpt2Config, gpt2ConfigJson } from './gpt2-config.ts'
import { servingGraph } from './graphs.ts'
import { writeJsonFile } from './json-file.ts'
import { publishDirectory, replacementObstacle } from './publish.ts'
import {
  checkBlockSize,
  type PackedMatrix,
  packedName,
  type Quantization,
  type QuantizedMatrix,
  quantize,
  quantizedMatrices,
  scalesName,
  storedTensors,
} from './quantization.ts'
import { type TensorSource, writeSafetensors } from './safetensors.ts'

export interface BaseContent {
  readonly config: Gpt2Config
  /** The values of a weight by its Hugging Face name, row-major; asked for one at a time. */
  readonly weight: (name: string) => Promise<Float32Array>
  /** The bytes of `tokenizer.json`. */
  readonly tokenizer: Uint8Array
  readonly bosTokenId: number | null
  readonly eosTokenIds: readonly number[]
  /** Further fields of `generation_config.json`. */
  readonly generation?: Readonly<Record<string, unknown>>
  /** Files that are taken as they are, by name: what a chat needs. */
  readonly further?: Readonly<Record<string, Uint8Array>>
  /** How the matrices are stored; float32 unless given. */
  readonly quantization?: Quantization | undefined
  /** Where the weights come from, for the record. */
  readonly source: Readonly<Record<string, unknown>>
}

/**
 * Publishes a base model under this directory; a base that was there is replaced. Throws `base_model_invalid` when
 * something else is there.
 */
export async function writeBaseModel(directory: string, content: BaseContent): Promise<BaseModel> {
  const obstacle = await replacementObstacle(directory, baseFiles.dylora)
  if (obstacle !== null) throw errors.baseModelInvalid(directory, obstacle)
  await publishDirectory(directory, (temporary) => writeFiles(temporary, content))
  return readBaseModel(directory)
}

async function writeFiles(directory: string, content: BaseContent): Promise<void> {
  const { config, tokenizer, bosTokenId, eosTokenIds, generation, further = {}, source, quantization } = content
  await writeSafetensors(join(directory, baseFiles.weights), tensorSources(content), { format: 'pt' })
  const tokens = { bos_token_id: bosTokenId, eos_token_id: eosTokenIds.length === 1 ? eosTokenIds[0] : eosTokenIds }
  const digest = await baseDigest(content.weight, config, tokenizer)
  const dylora: DyloraBaseJson = {
    formatVersion: baseFormatVersion,
    digest,
    source,
    ...(quantization && { quantization }),
  }
  await writeJsonFile(join(directory, baseFiles.config), { ...gpt2ConfigJson(config), ...tokens })
  await writeJsonFile(join(directory, baseFiles.generation), { ...generation, ...tokens })
  await writeFile(join(directory, baseFiles.tokenizer), tokenizer)
  for (const [name, bytes] of Object.entries(further)) await writeFile(join(directory, name), bytes)
  await writeJsonFile(join(directory, baseFiles.dylora), dylora)
  const { model } = servingGraph(await readBaseModel(directory), { targetModules: [], cacheDtype: 'float32' })
  await writeFile(join(directory, baseFiles.graph), model)
}

/** Each tensor of the file, made when it is written; a matrix in few bits is two. */
function tensorSources({ config, weight, quantization }: BaseContent): TensorSource[] {
  if (quantization !== undefined) checkBlockSize(config, quantization)
  const matrices = [...quantizedMatrices(config).values()]
  // Both of a matrix's tensors come one after the other, of one quantisation.
  let last: { name: string; values: Promise<PackedMatrix> } | null = null
  const packed = (matrix: QuantizedMatrix, into: Quantization): Promise<PackedMatrix> => {
    if (last?.name !== matrix.name) {
      last = { name: matrix.name, values: weight(matrix.source).then((values) => quantize(values, matrix, into)) }
    }
    return last.values
  }
  return [...storedTensors(config, quantization ?? null)].map(([name, { dtype, shape }]) => {
    const matrix = matrices.find((one) => [packedName(one.name), scalesName(one.name)].includes(name))
    if (matrix === undefined || quantization === undefined) return { name, dtype, shape, data: () => weight(name) }
    const part = name === packedName(matrix.name) ? 'packed' : 'scales'
    return { name, dtype, shape, data: async () => (await packed(matrix, quantization))[part] }
  })
}
