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
import { type Gpt2Config, gpt2ConfigJson, gpt2Tensors } from './gpt2-config.ts'
import { servingGraph } from './graphs.ts'
import { writeJsonFile } from './json-file.ts'
import { publishDirectory, replacementObstacle } from './publish.ts'
import { readSafetensorsHeader, writeSafetensors } from './safetensors.ts'

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
  const { config, tokenizer, bosTokenId, eosTokenIds, generation, further = {}, source } = content
  const weights = join(directory, baseFiles.weights)
  const sources = [...gpt2Tensors(config)].map(([name, shape]) => ({ name, shape, data: () => content.weight(name) }))
  await writeSafetensors(weights, sources, { format: 'pt' })
  const tokens = { bos_token_id: bosTokenId, eos_token_id: eosTokenIds.length === 1 ? eosTokenIds[0] : eosTokenIds }
  const digest = await baseDigest(await readSafetensorsHeader(weights), config, tokenizer)
  const dylora: DyloraBaseJson = { formatVersion: baseFormatVersion, digest, source }
  await writeJsonFile(join(directory, baseFiles.config), { ...gpt2ConfigJson(config), ...tokens })
  await writeJsonFile(join(directory, baseFiles.generation), { ...generation, ...tokens })
  await writeFile(join(directory, baseFiles.tokenizer), tokenizer)
  for (const [name, bytes] of Object.entries(further)) await writeFile(join(directory, name), bytes)
  await writeJsonFile(join(directory, baseFiles.dylora), dylora)
  const { model } = servingGraph(await readBaseModel(directory), { targetModules: [], cacheDtype: 'float32' })
  await writeFile(join(directory, baseFiles.graph), model)
}
