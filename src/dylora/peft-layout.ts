/** Rank-major factors of logical modules to and from PEFT's tensors, where GPT-2 fuses q, k and v into one layer. */
import { type Adapter, type LoraFactors, type ModuleKey, truncate } from './adapter.ts'
import { type FactorPair, pairFactors, readFinite } from './factor-tensors.ts'
import { type LinearPath, moduleKey, partsOf, targetedLinears } from './gpt2-linears.ts'
import type { TensorSource } from './safetensors.ts'
import type { StoredTensors } from './stored-tensors.ts'

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

const tensorName = /^base_model\.model\.(?:transformer\.)?h\.(\d+)\.([a-z_.]+)\.lora_(A|B)\.weight$/

/** Reads all factors, each with its checks: known name, both halves there, shapes that agree, a floating dtype, finite. */
export async function readPeftLinears(
  tensors: StoredTensors,
  fail: (reason: string) => Error,
  checkFirst: (pairs: readonly FactorPair[]) => void = () => {},
): Promise<PeftLinear[]> {
  const pairs = pairFactors(tensors, tensorName, /^base_model\.model\./, fail)
  for (const { a, b } of pairs) {
    const [rank, [outFeatures, rankOfB]] = [a.shape[0], b.shape]
    if (rankOfB !== rank) throw fail(`tensor '${b.name}': expected [${outFeatures},${rank}] to go with its lora_A`)
  }
  checkFirst(pairs)
  const result: PeftLinear[] = []
  for (const { layer, path, a, b } of pairs) {
    const [[rank = 0, inFeatures = 0], [outFeatures = 0]] = [a.shape, b.shape]
    const [valuesOfA, valuesOfB] = [await readFinite(a, fail), await readFinite(b, fail)]
    result.push({ layer, path, rank, inFeatures, outFeatures, a: valuesOfA, b: valuesOfB })
  }
  return result
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
