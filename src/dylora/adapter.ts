/** What an adapter is and what a rank means: rank-major factors, cut to b as a prefix, scaled alpha/b. */
import { errors } from '../errors.ts'

/** The linear layers that an adapter may adapt, by logical name, also where a checkpoint fuses them. */
export const targetModules = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'fc_in', 'fc_out'] as const
export type TargetModule = (typeof targetModules)[number]

/** One adapted linear layer, `<layer>.<module>`, for instance `0.q_proj`. */
export type ModuleKey = `${number}.${TargetModule}`

/**
 * The factors of one linear layer. Both are rank-major, so the first b ranks are a contiguous prefix:
 * `loraA` is [rank, inFeatures], `loraB` is [rank, outFeatures] (the transpose of PEFT's lora_B).
 */
export interface LoraFactors {
  readonly inFeatures: number
  readonly outFeatures: number
  readonly loraA: Float32Array
  readonly loraB: Float32Array
}

/** How the sum over ranks is scaled at rank b; `alpha/b` is the paper's (section 4). */
export const scalingRules = {
  'alpha/b': (alpha: number, rank: number, _maxRank: number) => alpha / rank,
  'alpha/sqrt(b)': (alpha: number, rank: number, _maxRank: number) => alpha / Math.sqrt(rank),
  'alpha/r': (alpha: number, _rank: number, maxRank: number) => alpha / maxRank,
} as const
type ScalingRule = keyof typeof scalingRules

/** One measured point of the quality-per-rank curve. */
export interface QualityPoint {
  readonly rank: number
  readonly dataset: string
  readonly split: 'validation' | 'test'
  readonly metric: string
  readonly value: number
  readonly ci95: readonly [number, number] | null
  /** How many examples the value rests on. */
  readonly n: number
  readonly higherIsBetter: boolean
  /** Is this the metric that `auto` reads (on the validation split)? */
  readonly primary: boolean
  /** How the texts were generated, where it was not greedily up to 100 tokens: `num_beams=10 length_penalty=0.8`. */
  readonly decoding?: string | undefined
}

/** What another training reached where this adapter could be used instead: the yardstick of its curve. */
interface BaselinePoint extends QualityPoint {
  /** `lora`: a LoRA trained for this rank alone. */
  readonly method: 'lora'
}

/** Token ids around the context: prompt = prefix + context + suffix; the completion follows. */
export interface Prompt {
  readonly prefix: readonly number[]
  readonly suffix: readonly number[]
}

/** What the operator of an adapter says of its ranks; no part of what it answers at a rank, so not in its digest. */
export interface RankPolicy {
  /** For a request that names no rank; `max` by default. */
  readonly defaultRank?: number | 'max' | 'auto' | undefined
  /** No rank above it is served. */
  readonly maxRank?: number | undefined
}

export interface Adapter {
  readonly name: string
  /** Over factors and configuration: `sha256:<hex>`. */
  readonly digest: string
  readonly baseModel: string
  readonly baseDigest: string
  readonly method: 'dylora' | 'lora'
  /** The ranks that may be asked for, ascending. A plain LoRA has one. */
  readonly ranks: readonly number[]
  readonly maxRank: number
  readonly loraAlpha: number
  readonly scaling: ScalingRule
  readonly targetModules: readonly TargetModule[]
  readonly factors: ReadonlyMap<ModuleKey, LoraFactors>
  readonly prompt: Prompt
  readonly quality: readonly QualityPoint[]
  /** Measured on the same data as the curve, if anybody did. */
  readonly baselines?: readonly BaselinePoint[] | undefined
  readonly policy?: RankPolicy | undefined
  /** Seed, settings and data digest of the training run, as written by the trainer. */
  readonly training: Readonly<Record<string, unknown>>
}

/** The factor applied to B(Ax) at this rank. */
export function scalingOf(adapter: Pick<Adapter, 'scaling' | 'loraAlpha' | 'maxRank'>, rank: number): number {
  return scalingRules[adapter.scaling](adapter.loraAlpha, rank, adapter.maxRank)
}

/** **The cut**: the first `rank` rows of both factors, as views on the same memory. */
export function truncate(factors: LoraFactors, rank: number): LoraFactors {
  const { inFeatures, outFeatures, loraA, loraB } = factors
  const maxRank = loraA.length / inFeatures
  if (!Number.isInteger(rank) || rank < 0 || rank > maxRank) {
    throw errors.rankNotAllowed(rank, [`0..${maxRank}`])
  }
  return {
    inFeatures,
    outFeatures,
    loraA: loraA.subarray(0, rank * inFeatures),
    loraB: loraB.subarray(0, rank * outFeatures),
  }
}

/** Parameters of the adapter at this rank, over all adapted layers. */
export function parameterCount(adapter: Pick<Adapter, 'factors'>, rank: number): number {
  let count = 0
  for (const { inFeatures, outFeatures } of adapter.factors.values()) count += rank * (inFeatures + outFeatures)
  return count
}
