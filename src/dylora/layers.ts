/** The layers that the method adds to a model: the low-rank branch, and attention in its two forms. */
import { groupQueryAttention, input, type Value } from '../onnx/graph.ts'
import type { ModuleKey } from './adapter.ts'

/** Factors of one adapted layer and the mask that cuts and scales them. */
export interface LoraValues {
  /** [rank, in] */
  readonly loraA: Value
  /** [rank, out] */
  readonly loraB: Value
  /** [tokens, rank]: the scaling (alpha/b) on the first b ranks of a token's adapter, 0 elsewhere. */
  readonly loraMask: Value
}

/** y + ((x Aᵀ) ∘ mask) B. Rank 0 adds nothing. */
export function dyloraLinear(x: Value, y: Value, { loraA, loraB, loraMask }: LoraValues): Value {
  return x.gemm(loraA, { transB: true }).mul(loraMask).gemm(loraB, { bias: y })
}

export const loraAName = (key: ModuleKey): string => `lora_A.${key}`
export const loraBName = (key: ModuleKey): string => `lora_B.${key}`

/** The mask that all layers share. */
export const loraMaskInput = (): Value => input('lora_mask', 'float32', ['tokens', 'rank'])

/** Factors as inputs whose rank is known only when the graph runs. */
export function loraInputs(key: ModuleKey, inFeatures: number, outFeatures: number): Omit<LoraValues, 'loraMask'> {
  return {
    loraA: input(loraAName(key), 'float32', ['rank', inFeatures]),
    loraB: input(loraBName(key), 'float32', ['rank', outFeatures]),
  }
}

export interface CausalAttentionShape {
  readonly batch: number
  readonly heads: number
  readonly headSize: number
  /** [time, time]: 0 where a token may look, a large negative number elsewhere. */
  readonly attentionMask: Value
}

/**
 * Attention over whole sequences. Tokens come time-major (row t·batch + b), so that [tokens, hidden] is
 * [time, batch, heads, headSize] without moving anything and the products transpose on the fly.
 */
export function causalAttention(q: Value, k: Value, v: Value, scale: number, shape: CausalAttentionShape): Value {
  const { batch, heads, headSize, attentionMask } = shape
  const split = (x: Value) => x.reshape(['time', batch, heads, headSize])
  const flags = { transBatchA: true, transBatchB: true, transB: true, alpha: scale }
  const scores = split(q).fusedMatmul(split(k), flags) // [batch, heads, time, time]
  const mixed = scores.add(attentionMask).softmax().fusedMatmul(split(v), { transBatchB: true }) // [batch, heads, time, headSize]
  return mixed.transpose([2, 0, 1, 3]).reshape(['tokens', heads * headSize])
}

export interface CachedAttentionShape {
  readonly heads: number
  readonly headSize: number
  /** The kernel wants a multiple of 8: heads are padded with zeros up to this. */
  readonly cacheHeadSize: number
  readonly cacheDtype: 'float32' | 'float16'
  /** int32 [batch]: tokens in the cache after this step, less one. */
  readonly seqlensK: Value
  /** int32 []: the largest number of tokens in the cache after this step. */
  readonly totalSequenceLength: Value
  readonly pastKey: Value
  readonly pastValue: Value
}

export interface CachedAttention {
  readonly output: Value
  readonly presentKey: Value
  readonly presentValue: Value
}

/** Attention that reads and writes a cache [batch, heads, capacity, headSize] in place; tokens come batch-major. */
export function cachedAttention(
  q: Value,
  k: Value,
  v: Value,
  scale: number,
  shape: CachedAttentionShape,
): CachedAttention {
  const { heads, headSize, cacheHeadSize, cacheDtype, seqlensK, totalSequenceLength, pastKey, pastValue } = shape
  const dims = { batch: seqlensK.dim(0) }
  const padded = cacheHeadSize - headSize
  const widen = (x: Value) => {
    const split = x.reshape(['batch', 'sequence', heads, headSize], dims)
    return (padded === 0 ? split : split.pad(3, 0, padded)).reshape(['batch', 'sequence', heads * cacheHeadSize])
  }
  const narrow = (x: Value) => {
    const split = x.reshape(['batch', 'sequence', heads, cacheHeadSize], dims)
    return (padded === 0 ? split : split.slice(3, 0, headSize)).reshape(['tokens', heads * headSize])
  }
  const [output, presentKey, presentValue] = groupQueryAttention(
    [
      widen(q).cast(cacheDtype),
      widen(k).cast(cacheDtype),
      widen(v).cast(cacheDtype),
      pastKey,
      pastValue,
      seqlensK,
      totalSequenceLength,
    ],
    { numHeads: heads, kvNumHeads: heads, scale },
  )
  return { output: narrow(output.cast('float32')), presentKey, presentValue }
}

/**
 * What choosing a token mostly needs, found by the runtime's kernels in a fraction of the time that it takes elsewhere: the
 * likeliest tokens, likeliest first, and the probability of the first.
 */
export function likeliest(logits: Value, k: number): Readonly<Record<string, Value>> {
  const { values, indices } = logits.topK(k)
  return {
    likeliest_ids: indices.cast('int32'),
    likeliest_logits: values,
    highest_probability: logits.softmax().max([-1]),
  }
}
