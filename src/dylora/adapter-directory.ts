/** An adapter's directory: PEFT's two files, and `dylora.json` with what PEFT does not know. Appears whole or not at all. */
import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { errors } from '../errors.ts'
import { type Adapter, type LoraFactors, type ModuleKey, type TargetModule, targetModules } from './adapter.ts'
import { adapterFormatVersion, DyloraJson, PeftConfig, peftConfigOf, unimplementedSwitch } from './adapter-config.ts'
import type { BaseModel } from './base-model.ts'
import { moduleFeatures } from './gpt2-config.ts'
import { moduleKey, partsOf, targetedLinears } from './gpt2-linears.ts'
import { issueText, readJsonFile, rethrowing, writeJsonFile } from './json-file.ts'
import { fromPlainPeft } from './peft-import.ts'
import { cutBlock, factorsOf, type PeftLinear, peftTensors, readPeftLinears } from './peft-layout.ts'
import { exists, publishDirectory } from './publish.ts'
import { writeSafetensors } from './safetensors.ts'
import { checkVersion } from './store/versions.ts'
import { readTensorFile } from './tensor-file.ts'

/** The files of the directory. */
export const adapterFiles = {
  dylora: 'dylora.json',
  peft: 'adapter_config.json',
  factors: 'adapter_model.safetensors',
} as const

/** Everything but what the directory decides: its name, and the digest over its content. */
export type AdapterContent = Omit<Adapter, 'name' | 'digest'>

type Fail = (reason: string) => Error

/**
 * Reads and checks an adapter, a plain PEFT LoRA too (no `dylora.json`): that serves its own rank only, and pins no base.
 * Throws `adapter_invalid`, which says what was found and what was expected.
 */
export async function readAdapter(directory: string): Promise<Adapter> {
  let before = await identityOf(directory)
  for (;;) {
    const [outcome] = await Promise.allSettled([readOnce(directory)])
    const after = await identityOf(directory)
    // Otherwise a writer put another directory in this place between two of the reads, and it may be a mixture.
    if (after === before) return settled(outcome)
    before = after
  }
}

function settled<T>(outcome: PromiseSettledResult<T>): T {
  if (outcome.status === 'rejected') throw outcome.reason
  return outcome.value
}

/** Changes whenever another directory takes the place; inodes alone are used again. */
async function identityOf(directory: string): Promise<string | null> {
  try {
    const { dev, ino, ctimeMs } = await stat(directory)
    return `${dev}:${ino}:${ctimeMs}`
  } catch {
    return null
  }
}

async function readOnce(directory: string): Promise<Adapter> {
  const name = basename(resolve(directory))
  const fail = (reason: string) => errors.adapterInvalid(name, reason)
  const peft = await readJsonFile(join(directory, adapterFiles.peft), PeftConfig, fail)
  const refused = unimplementedSwitch(peft)
  if (refused !== undefined) throw fail(`${adapterFiles.peft}: ${refused} is not implemented`)
  const dylora = await readDyloraJson(directory, fail)
  const tensors = await rethrowing(fail, () => readTensorFile(join(directory, adapterFiles.factors)))
  const linears = await readPeftLinears(tensors, fail)
  const content = dylora ? fromDylora(dylora, peft, linears, fail) : fromPlainPeft(peft, linears, fail)
  checkFactors(content, fail)
  const adapter = { ...content, name, digest: digestOf(content) }
  if (dylora && dylora.digest !== adapter.digest) {
    throw fail(`the content does not match its digest: expected ${dylora.digest}, got ${adapter.digest}`)
  }
  checkVersion(name, adapter.digest)
  return adapter
}

async function readDyloraJson(directory: string, fail: Fail): Promise<DyloraJson | null> {
  const path = join(directory, adapterFiles.dylora)
  return (await rethrowing(fail, () => exists(path))) ? readJsonFile(path, DyloraJson, fail) : null
}

function fromDylora(json: DyloraJson, peft: PeftConfig, linears: readonly PeftLinear[], fail: Fail): AdapterContent {
  const { formatVersion: _version, digest: _digest, ...content } = json
  checkPeftAgrees(json, peft, fail)
  const targets = targetedLinears(json.targetModules)
  const factors = new Map<ModuleKey, LoraFactors>()
  for (const linear of linears) {
    const adapted = targets.find(({ path }) => path === linear.path)?.adapted
    if (!adapted) throw fail(`layer ${linear.layer} adapts ${linear.path}, which holds none of its target modules`)
    for (const [module, part] of splitBlocks(linear, adapted, json.maxRank, fail)) {
      factors.set(moduleKey(linear.layer, module), part)
    }
  }
  return { ...content, factors }
}

/** Both files must describe the same function, or PEFT and this project would serve different ones. */
function checkPeftAgrees(json: DyloraJson, peft: PeftConfig, fail: Fail): void {
  const expected = peftConfigOf(json, targetedLinears(json.targetModules), json.maxRank)
  for (const field of ['r', 'lora_alpha', 'use_rslora', 'rank_pattern', 'alpha_pattern'] as const) {
    const [wanted, got] = [JSON.stringify(expected[field] ?? {}), JSON.stringify(peft[field] ?? {})]
    if (wanted !== got) throw fail(`${adapterFiles.peft}: expected ${field} ${wanted} by dylora.json, got ${got}`)
  }
}

/** The adapted modules of one stored layer; what lies outside their blocks must be zero. */
function* splitBlocks(linear: PeftLinear, adapted: readonly TargetModule[], maxRank: number, fail: Fail) {
  const place = `${linear.layer}.${linear.path}`
  const parts = partsOf(linear.path)
  const outFeatures = linear.outFeatures / parts.length
  if (linear.rank !== adapted.length * maxRank) {
    throw fail(`${place}: expected ${adapted.length * maxRank} rank rows, got ${linear.rank}`)
  }
  if (!Number.isInteger(outFeatures)) throw fail(`${place}: expected ${parts.length} equal parts of its outputs`)
  let inBlocks = 0
  for (const [i, module] of adapted.entries()) {
    const firstOutput = parts.indexOf(module) * outFeatures
    const factors = cutBlock(linear, { firstOutput, outFeatures, firstRank: i * maxRank, rank: maxRank })
    inBlocks += countNonZero(factors.loraB)
    yield [module, factors] as const
  }
  if (countNonZero(linear.b) !== inBlocks) throw fail(`${place}: lora_B has values outside the blocks of its modules`)
}

function countNonZero(values: Float32Array): number {
  return values.reduce((count, value) => count + (value === 0 ? 0 : 1), 0)
}

/** Every target module in every layer up to the last, at the adapter's rank, of one width per module, finite. */
function checkFactors({ factors, targetModules: targets, maxRank }: AdapterContent, fail: Fail): void {
  const layers = layerCount(factors)
  for (let layer = 0; layer < layers; layer++) {
    for (const module of targets) checkModule(factors, moduleKey(layer, module), moduleKey(0, module), maxRank, fail)
  }
  if (factors.size !== layers * targets.length) {
    throw fail(`expected factors for ${targets.join(', ')} only, got ${[...factors.keys()].join(', ')}`)
  }
}

function layerCount(factors: Adapter['factors']): number {
  return Math.max(-1, ...[...factors.keys()].map((key) => Number.parseInt(key, 10))) + 1
}

function checkModule(factors: Adapter['factors'], key: ModuleKey, like: ModuleKey, rank: number, fail: Fail): void {
  const [found, first] = [factors.get(key), factors.get(like)]
  if (!found || !first) throw fail(`there are no factors for ${found ? like : key}`)
  const shape = ({ inFeatures, outFeatures }: LoraFactors) => `${inFeatures} -> ${outFeatures}`
  if (shape(found) !== shape(first)) throw fail(`${key}: expected ${shape(first)} as in layer 0, got ${shape(found)}`)
  const { loraA, loraB, inFeatures, outFeatures } = found
  if (loraA.length !== rank * inFeatures || loraB.length !== rank * outFeatures) {
    throw fail(`${key}: expected rank ${rank}, got ${loraA.length / inFeatures} and ${loraB.length / outFeatures}`)
  }
  if (!loraA.every(Number.isFinite) || !loraB.every(Number.isFinite)) throw fail(`${key}: a value is not finite`)
}

/** Over all that decides what the adapter answers. Measured quality and the training record are not in it. */
function digestOf(content: AdapterContent): string {
  const { baseDigest, method, ranks, maxRank, loraAlpha, scaling, prompt } = content
  const targets = inOrder(content.targetModules)
  const { prefix, suffix } = prompt
  const hash = createHash('sha256')
  hash.update(JSON.stringify({ baseDigest, method, ranks, maxRank, loraAlpha, scaling, targets, prefix, suffix }))
  for (let layer = 0; layer < layerCount(content.factors); layer++) {
    for (const module of targets) hashFactors(hash, moduleKey(layer, module), content.factors)
  }
  return `sha256:${hash.digest('hex')}`
}

function inOrder(targets: readonly TargetModule[]): TargetModule[] {
  return targetModules.filter((module) => targets.includes(module))
}

function hashFactors(hash: ReturnType<typeof createHash>, key: ModuleKey, factors: Adapter['factors']): void {
  const { inFeatures, outFeatures, loraA, loraB } = factorsOf(factors, key)
  hash.update(`\n${key} ${inFeatures} ${outFeatures}\n`)
  for (const { buffer, byteOffset, byteLength } of [loraA, loraB]) {
    hash.update(new Uint8Array(buffer, byteOffset, byteLength))
  }
}

/**
 * Publishes the adapter under this directory; one that was there is replaced. `more` puts what else belongs there into the
 * directory before it appears. Throws `adapter_invalid`.
 */
export async function writeAdapter(
  directory: string,
  content: AdapterContent,
  more?: (temporary: string) => Promise<void>,
): Promise<Adapter> {
  const name = basename(resolve(directory))
  const fail = (reason: string) => errors.adapterInvalid(name, reason)
  checkFactors(content, fail)
  const digest = digestOf(content)
  const parsed = DyloraJson.safeParse(dyloraJsonOf(content, digest))
  if (!parsed.success) throw fail(`${adapterFiles.dylora}: ${issueText(parsed.error)}`)
  await publishDirectory(directory, async (temporary) => {
    await writePeft(temporary, content, content.maxRank)
    await writeJsonFile(join(temporary, adapterFiles.dylora), parsed.data)
    await more?.(temporary)
  })
  return { ...content, name, digest }
}

function dyloraJsonOf(content: AdapterContent, digest: string): DyloraJson {
  const { baseModel, baseDigest, method, maxRank, loraAlpha, scaling, training } = content
  return {
    ...{ formatVersion: adapterFormatVersion, digest, baseModel, baseDigest, method },
    ...{ ranks: [...content.ranks], maxRank, loraAlpha, scaling, targetModules: inOrder(content.targetModules) },
    prompt: { prefix: [...content.prompt.prefix], suffix: [...content.prompt.suffix] },
    quality: content.quality.map((point) => ({ ...point, ci95: point.ci95 && [...point.ci95] })),
    ...(content.baselines !== undefined && {
      baselines: content.baselines.map((point) => ({ ...point, primary: false, ci95: point.ci95 && [...point.ci95] })),
    }),
    ...(content.policy !== undefined && { policy: { ...content.policy } }),
    training,
  }
}

/** PEFT's two files of the adapter cut to `rank`, into a directory that is being published. */
export async function writePeft(directory: string, content: AdapterContent, rank: number): Promise<void> {
  const config = peftConfigOf(content, targetedLinears(content.targetModules), rank)
  await writeSafetensors(join(directory, adapterFiles.factors), peftTensors(content, rank), { format: 'pt' })
  await writeJsonFile(join(directory, adapterFiles.peft), config)
}

/** Throws `adapter_invalid` unless the adapter was trained for this base and its shapes fit. */
export function checkAgainstBase(adapter: Adapter, base: BaseModel): void {
  const fail = (reason: string) => errors.adapterInvalid(adapter.name, reason)
  if (adapter.baseDigest !== '' && adapter.baseDigest !== base.digest) {
    throw fail(`it belongs to base ${adapter.baseModel} ${adapter.baseDigest}, and this is ${base.name} ${base.digest}`)
  }
  const layers = layerCount(adapter.factors)
  if (layers !== base.config.layers) throw fail(`expected ${base.config.layers} layers as in the base, got ${layers}`)
  const features = moduleFeatures(base.config)
  for (const module of adapter.targetModules) {
    const { inFeatures, outFeatures } = factorsOf(adapter.factors, moduleKey(0, module))
    const [expected, got] = [features[module], `${inFeatures} -> ${outFeatures}`]
    if (got !== `${expected.inFeatures} -> ${expected.outFeatures}`) {
      throw fail(`${module}: expected ${expected.inFeatures} -> ${expected.outFeatures} as in the base, got ${got}`)
    }
  }
  const stray = [...adapter.prompt.prefix, ...adapter.prompt.suffix].find((id) => id >= base.config.vocabSize)
  if (stray !== undefined)
    throw fail(`prompt token ${stray} is not in the base's vocabulary of ${base.config.vocabSize}`)
}
