/** Rank-major factors of logical modules to and from PEFT's tensors, where GPT-2 fuses q, k and v into one layer. */
import { type Adapter, type LoraFactors, type ModuleKey, type TargetModule, truncate } from './adapter.ts'
import { isFloat, readTensor, type SafetensorsFile, type TensorEntry, type TensorSource } from './safetensors.ts'

/** GPT-2's linear layers by path, with the logical modules that make up their outputs, in order. */
const linears = [
  { path: 'attn.c_attn', parts: ['q_proj', 'k_proj', 'v_proj'] },
  { path: 'attn.c_proj', parts: ['o_proj'] },
  { path: 'mlp.c_fc', parts: ['fc_in'] },
  { path: 'mlp.c_proj', parts: ['fc_out'] },
] as const satisfies readonly { path: string; parts: readonly TargetModule[] }[]
type LinearPath = (typeof linears)[number]['path']

/** LoRA of one linear layer as stored: `a` is [rank, inFeatures], `b` is [outFeatures, rank]. */
export interface PeftLinear {
  readonly layer: number
  readonly path: LinearPath
  readonly rank: number
  readonly inFeatures: number
  readonly outFeatures: number
  readonly a: Float32Array
  readonly b: Float32Array
}

/** The parts of a linear layer; all of them, adapted or not. */
export function partsOf(path: LinearPath): readonly TargetModule[] {
  return linears.find((linear) => linear.path === path)?.parts ?? []
}

/** The linear layers that hold these modules, each with the adapted ones among its parts. */
export function targetedLinears(targets: readonly TargetModule[]) {
  return linears
    .map(({ path, parts }) => ({ path, adapted: parts.filter((part) => targets.includes(part)) }))
    .filter(({ adapted }) => adapted.length > 0)
    .map(({ path, adapted }) => ({ path, adapted, adaptedParts: adapted.length }))
}

export function moduleKey(layer: number, module: TargetModule): ModuleKey {
  return `${layer}.${module}`
}

const tensorName = /^base_model\.model\.(?:transformer\.)?h\.(\d+)\.([a-z_.]+)\.lora_(A|B)\.weight$/

/** Reads all factors, each with its checks: known name, both halves there, shapes that agree, a floating dtype, finite. */
export async function readPeftLinears(file: SafetensorsFile, fail: (reason: string) => Error): Promise<PeftLinear[]> {
  const result: PeftLinear[] = []
  for (const [place, { A, B }] of pairTensors(file, fail)) {
    if (!A || !B) throw fail(`tensor '${(A ?? B)?.replace(/lora_[AB]/, A ? 'lora_B' : 'lora_A')}' is missing`)
    const [rank = 0, inFeatures = 0] = shapeOf(file, A, fail)
    const [outFeatures = 0, rankOfB] = shapeOf(file, B, fail)
    if (rankOfB !== rank) throw fail(`tensor '${B}': expected [${outFeatures},${rank}] to go with its lora_A`)
    const [a, b] = [await readFinite(file, A, fail), await readFinite(file, B, fail)]
    const [layer, path] = place.split(' ')
    result.push({ layer: Number(layer), path: path as LinearPath, rank, inFeatures, outFeatures, a, b })
  }
  return result
}

/** By `<layer> <path>`: the names of the two halves. */
function pairTensors(file: SafetensorsFile, fail: (reason: string) => Error) {
  const pairs = new Map<string, { A?: string; B?: string }>()
  for (const name of file.tensors.keys()) {
    const [, layer, path, half] = tensorName.exec(name) ?? []
    if (!linears.some((linear) => linear.path === path))
      throw fail(`tensor '${name}' belongs to no known target module`)
    const place = `${Number(layer)} ${path}`
    const pair = pairs.get(place) ?? {}
    if (half === 'A' ? pair.A : pair.B) throw fail(`tensor '${name}' is there twice`)
    pairs.set(place, { ...pair, [half ?? '']: name })
  }
  if (pairs.size === 0) throw fail('there are no factors in it')
  return pairs
}

function shapeOf(file: SafetensorsFile, name: string, fail: (reason: string) => Error): readonly number[] {
  const { dtype, shape } = file.tensors.get(name) as TensorEntry
  if (!isFloat(dtype)) throw fail(`tensor '${name}': expected a floating dtype, got ${dtype}`)
  if (shape.length !== 2 || shape.includes(0)) throw fail(`tensor '${name}': expected a matrix, got [${shape}]`)
  return shape
}

async function readFinite(file: SafetensorsFile, name: string, fail: (reason: string) => Error) {
  const values = await readTensor(file, name)
  const bad = values.findIndex((value) => !Number.isFinite(value))
  if (bad >= 0) throw fail(`tensor '${name}': expected finite values, got ${values[bad]} at ${bad}`)
  return values
}

/** Which rows of a matrix's output and which of its ranks make up one module. */
interface Block {
  readonly firstOutput: number
  readonly outFeatures: number
  readonly firstRank: number
  readonly rank: number
}

/** Cuts one module's factors out of a stored linear layer. */
export function cutBlock(linear: PeftLinear, block: Block): LoraFactors {
  const { firstOutput, outFeatures, firstRank, rank } = block
  const loraB = new Float32Array(rank * outFeatures)
  for (let j = 0; j < rank; j++) {
    for (let o = 0; o < outFeatures; o++) {
      loraB[j * outFeatures + o] = linear.b[(firstOutput + o) * linear.rank + firstRank + j] ?? 0
    }
  }
  const { inFeatures } = linear
  return {
    inFeatures,
    outFeatures,
    loraA: linear.a.slice(firstRank * inFeatures, (firstRank + rank) * inFeatures),
    loraB,
  }
}

/** PEFT's tensors of the adapter cut to `rank`, layer by layer. */
export function peftTensors(adapter: Pick<Adapter, 'factors' | 'targetModules'>, rank: number): TensorSource[] {
  const layers = [...new Set([...adapter.factors.keys()].map((key) => Number.parseInt(key, 10)))].sort((a, b) => a - b)
  return layers.flatMap((layer) =>
    targetedLinears(adapter.targetModules).flatMap(({ path, adapted }) => {
      const factors = adapted.map((part) => truncate(factorsOf(adapter.factors, moduleKey(layer, part)), rank))
      const places = adapted.map((part) => partsOf(path).indexOf(part))
      return linearTensors(`base_model.model.transformer.h.${layer}.${path}`, factors, places, partsOf(path).length)
    }),
  )
}

export function factorsOf(factors: Adapter['factors'], key: ModuleKey): LoraFactors {
  const found = factors.get(key)
  if (!found) throw new RangeError(`expected factors for every target module of every layer, got none for ${key}`)
  return found
}

/** A stacked part after part; B with one block for each part at its place among the outputs, zero elsewhere. */
function linearTensors(
  name: string,
  factors: readonly LoraFactors[],
  places: readonly number[],
  partCount: number,
): TensorSource[] {
  const { inFeatures = 0, outFeatures = 0, loraA } = factors[0] ?? {}
  const rank = (loraA?.length ?? 0) / inFeatures
  const stacked = factors.length * rank
  const a = new Float32Array(stacked * inFeatures)
  const b = new Float32Array(partCount * outFeatures * stacked)
  for (const [i, part] of factors.entries()) {
    a.set(part.loraA, i * rank * inFeatures)
    const firstOutput = (places[i] ?? 0) * outFeatures
    for (let j = 0; j < rank; j++) {
      for (let o = 0; o < outFeatures; o++) {
        b[(firstOutput + o) * stacked + i * rank + j] = part.loraB[j * outFeatures + o] ?? 0
      }
    }
  }
  return [
    { name: `${name}.lora_A.weight`, shape: [stacked, inFeatures], data: a },
    { name: `${name}.lora_B.weight`, shape: [partCount * outFeatures, stacked], data: b },
  ]
}
