/** A plain PEFT LoRA, trained elsewhere at one rank, as an adapter: fused layers split into modules, scalings made one. */
import type { Adapter, LoraFactors, ModuleKey, TargetModule } from './adapter.ts'
import { type PeftConfig, peftRankAndScaling } from './adapter-config.ts'
import { moduleKey, partsOf } from './gpt2-linears.ts'
import { cutBlock, type PeftLinear } from './peft-layout.ts'

/** One module's factors, still at the rank and scaling of its own layer. */
interface Piece {
  readonly key: ModuleKey
  readonly module: TargetModule
  readonly factors: LoraFactors
  readonly scaling: number
}

type PlainAdapter = Omit<Adapter, 'name' | 'digest'>

/**
 * The adapter serves its own rank only. A module of a fused layer shares the layer's A; ranks that it does not use (the
 * zero blocks of a block LoRA) are dropped, and so are modules that no layer uses. Layers of different rank (by
 * `rank_pattern`) are filled up with zero ranks, layers of different scaling have the ratio multiplied into B.
 */
export function fromPlainPeft(
  config: PeftConfig,
  linears: readonly PeftLinear[],
  fail: (reason: string) => Error,
): PlainAdapter {
  const pieces = usedPieces(linears.flatMap((linear) => split(linear, config, fail)))
  const maxRank = Math.max(1, ...pieces.map(({ factors }) => rankOf(factors)))
  const own = config.lora_alpha / (config.use_rslora ? Math.sqrt(config.r) : config.r)
  return {
    baseModel: config.base_model_name_or_path ?? '',
    baseDigest: '',
    method: 'lora',
    ranks: [maxRank],
    maxRank,
    ...alphaAndRule(config, own, maxRank),
    targetModules: [...new Set(pieces.map(({ module }) => module))],
    factors: new Map(pieces.map(({ key, factors, scaling }) => [key, refill(factors, maxRank, scaling / own)])),
    prompt: { prefix: [], suffix: [] },
    quality: [],
    training: {},
  }
}

/** As PEFT wrote it where that still says the same, else the rule that gives this scaling at the only rank. */
function alphaAndRule(config: PeftConfig, scaling: number, maxRank: number): Pick<Adapter, 'loraAlpha' | 'scaling'> {
  if (maxRank !== config.r) return { loraAlpha: scaling * maxRank, scaling: 'alpha/r' }
  return { loraAlpha: config.lora_alpha, scaling: config.use_rslora ? 'alpha/sqrt(b)' : 'alpha/b' }
}

function split(linear: PeftLinear, config: PeftConfig, fail: (reason: string) => Error): Piece[] {
  const place = `transformer.h.${linear.layer}.${linear.path}`
  const { rank, scaling } = peftRankAndScaling(config, place)
  if (linear.rank !== rank) throw fail(`${place}: expected rank ${rank} by adapter_config.json, got ${linear.rank}`)
  const parts = partsOf(linear.path)
  const outFeatures = linear.outFeatures / parts.length
  if (!Number.isInteger(outFeatures)) {
    throw fail(`${place}: expected a multiple of ${parts.length} outputs, got ${linear.outFeatures}`)
  }
  return parts.map((module, i) => {
    const block = cutBlock(linear, { firstOutput: i * outFeatures, outFeatures, firstRank: 0, rank })
    const factors = parts.length > 1 ? dropUnusedRanks(block) : block
    return { key: moduleKey(linear.layer, module), module, factors, scaling }
  })
}

function rankOf({ loraA, inFeatures }: LoraFactors): number {
  return loraA.length / inFeatures
}

/** Without the ranks whose row of B is zero: they add nothing. */
function dropUnusedRanks({ inFeatures, outFeatures, loraA, loraB }: LoraFactors): LoraFactors {
  const rows = (matrix: Float32Array, width: number, kept: readonly number[]) =>
    Float32Array.from(kept.flatMap((j) => [...matrix.subarray(j * width, (j + 1) * width)]))
  const used = Array.from({ length: loraB.length / outFeatures }, (_, j) => j).filter((j) =>
    loraB.subarray(j * outFeatures, (j + 1) * outFeatures).some((value) => value !== 0),
  )
  return { inFeatures, outFeatures, loraA: rows(loraA, inFeatures, used), loraB: rows(loraB, outFeatures, used) }
}

/** Without the modules that are unused in every layer, unless that is all of them (factors that were never trained). */
function usedPieces(pieces: readonly Piece[]): readonly Piece[] {
  const used = new Set(pieces.filter(({ factors }) => rankOf(factors) > 0).map(({ module }) => module))
  return used.size > 0 ? pieces.filter(({ module }) => used.has(module)) : pieces
}

/** Zero ranks up to `rank`; B times `ratio`. */
function refill({ inFeatures, outFeatures, loraA, loraB }: LoraFactors, rank: number, ratio: number): LoraFactors {
  const a = new Float32Array(rank * inFeatures)
  const b = new Float32Array(rank * outFeatures)
  a.set(loraA)
  b.set(ratio === 1 ? loraB : loraB.map((value) => value * ratio))
  return { inFeatures, outFeatures, loraA: a, loraB: b }
}
