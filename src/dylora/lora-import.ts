/** Imports a LoRA or DyLoRA that was trained elsewhere, PEFT's or loralib's, as an adapter pinned to a base. No Python. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { errors } from '../errors.ts'
import type { Adapter, Prompt } from './adapter.ts'
import { PeftConfig, unimplementedSwitch } from './adapter-config.ts'
import { type AdapterContent, adapterFiles, checkAgainstBase, writeAdapter } from './adapter-directory.ts'
import type { BaseModel } from './base-model.ts'
import type { FactorPair } from './factor-tensors.ts'
import { moduleFeatures } from './gpt2-config.ts'
import { partsOf } from './gpt2-linears.ts'
import { readJsonFile, rethrowing } from './json-file.ts'
import { fromLoralib, type LoralibOptions } from './loralib.ts'
import { fromPlainPeft } from './peft-import.ts'
import { readPeftLinears } from './peft-layout.ts'
import { exists, replacementObstacle } from './publish.ts'
import { readTensorFile } from './tensor-file.ts'

type Fail = (reason: string) => Error

export interface LoraImportOptions {
  /** Needed for a loralib checkpoint, which holds none of it; a PEFT LoRA says it itself. */
  readonly loralib?: LoralibOptions
  /** Token ids around the context, as in the training. None unless given. */
  readonly prompt?: Prompt
}

/**
 * Reads `source`, the directory of a PEFT LoRA or the file of a loralib checkpoint, and publishes the adapter under `out`;
 * one that was there is replaced. Its curve is empty, and its record of training says only where it came from. Throws
 * `checkpoint_invalid`, which names the tensor or the field that does not fit, or `validation`.
 */
export async function importLora(
  source: string,
  base: BaseModel,
  out: string,
  options: LoraImportOptions = {},
): Promise<Adapter> {
  const fail = (reason: string) => errors.checkpointInvalid(source, reason)
  const obstacle = await replacementObstacle(out, adapterFiles.dylora)
  if (obstacle !== null) throw errors.adapterInvalid(basename(resolve(out)), obstacle)
  const directory = await peftDirectory(source, fail)
  const content = directory
    ? await readPeft(directory, base, options, fail)
    : await readLoralib(source, base, options, fail)
  checkAgainstBase({ ...content, name: basename(resolve(out)), digest: '' }, base)
  return writeAdapter(out, content)
}

/** Where PEFT's files are; null when the source is a file of another kind. */
async function peftDirectory(source: string, fail: Fail): Promise<string | null> {
  const isDirectory = (await rethrowing(fail, () => stat(source))).isDirectory()
  if (!isDirectory && !peftFiles.includes(basename(source))) return null
  const directory = isDirectory ? source : dirname(source)
  if (await exists(join(directory, adapterFiles.dylora))) throw fail('it is an adapter of this project already')
  if (await exists(join(directory, adapterFiles.peft))) return directory
  if (isDirectory) throw fail(`there is no ${adapterFiles.peft}; of a loralib checkpoint, give the file`)
  return null
}

const peftFiles: readonly string[] = [adapterFiles.factors, 'adapter_model.bin']

async function readPeft(
  directory: string,
  base: BaseModel,
  options: LoraImportOptions,
  fail: Fail,
): Promise<AdapterContent> {
  const given = Object.entries(options.loralib ?? {}).find(([, value]) => value !== undefined && value !== 'lora')
  if (given) throw errors.validation(`${given[0]} is not for a PEFT LoRA, which has one rank and says the rest itself`)
  const config = await readJsonFile(join(directory, adapterFiles.peft), PeftConfig, fail)
  const refused = unimplementedSwitch(config)
  if (refused !== undefined) throw fail(`${adapterFiles.peft}: ${refused} is not implemented`)
  const path = await peftWeights(directory, fail)
  const tensors = await rethrowing(fail, () => readTensorFile(path))
  const linears = await rethrowing(fail, () =>
    readPeftLinears(tensors, fail, (pairs) => checkShapes(pairs, base, fail)),
  )
  const content = fromPlainPeft(config, linears, fail)
  return withOrigin(content, base, options, {
    format: 'peft',
    baseModel: content.baseModel || null,
    ...(await fileRecord(path)),
  })
}

async function peftWeights(directory: string, fail: Fail): Promise<string> {
  for (const name of peftFiles) if (await exists(join(directory, name))) return join(directory, name)
  throw fail(`there is neither ${peftFiles.join(' nor ')}`)
}

function checkShapes(pairs: readonly FactorPair[], base: BaseModel, fail: Fail): void {
  const features = moduleFeatures(base.config)
  for (const { layer, path, a, b } of pairs) {
    const parts = partsOf(path)
    const { inFeatures, outFeatures } = features[parts[0] ?? 'q_proj']
    const outputs = parts.length * outFeatures
    if (layer >= base.config.layers) throw fail(`tensor '${a.name}': the base has ${base.config.layers} layers`)
    if (a.shape[1] !== inFeatures) throw fail(`tensor '${a.name}': expected [.., ${inFeatures}], got [${a.shape}]`)
    if (b.shape[0] !== outputs) throw fail(`tensor '${b.name}': expected [${outputs}, ..], got [${b.shape}]`)
  }
}

async function readLoralib(
  path: string,
  base: BaseModel,
  options: LoraImportOptions,
  fail: Fail,
): Promise<AdapterContent> {
  const tensors = await rethrowing(fail, () => readTensorFile(path))
  if ([...tensors.keys()].some((name) => name.startsWith('base_model.model.'))) {
    throw fail(`its names are PEFT's: expected ${adapterFiles.peft} beside ${peftFiles[0]}`)
  }
  const factors = await rethrowing(fail, () => fromLoralib(tensors, base, options.loralib ?? {}, fail))
  return withOrigin(factors, base, options, { format: 'loralib', ...(await fileRecord(path)) })
}

/** Nothing about the training is made up: where the factors come from is all that is known. */
function withOrigin(
  factors: Awaited<ReturnType<typeof fromLoralib>>,
  base: BaseModel,
  { prompt = { prefix: [], suffix: [] } }: LoraImportOptions,
  importedFrom: Readonly<Record<string, unknown>>,
): AdapterContent {
  const pinned = { baseModel: base.name, baseDigest: base.digest }
  return { ...factors, ...pinned, prompt, quality: [], training: { importedFrom } }
}

async function fileRecord(path: string): Promise<{ file: string; digest: string }> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return { file: basename(path), digest: `sha256:${hash.digest('hex')}` }
}
