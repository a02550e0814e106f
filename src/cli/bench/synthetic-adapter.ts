/** Adapters with random factors for a base of any shape, made in memory. */
import { createHash } from 'node:crypto'
import type { Adapter, LoraFactors, ModuleKey, TargetModule } from '../../dylora/adapter.ts'
import type { BaseModel } from '../../dylora/base-model.ts'
import { moduleFeatures } from '../../dylora/gpt2-config.ts'

export interface SyntheticAdapterOptions {
  readonly name: string
  /** The ranks that it serves; the highest is how many rows it has. */
  readonly ranks: readonly number[]
  readonly targetModules: readonly TargetModule[]
}

export function syntheticAdapter(base: BaseModel, { name, ranks, targetModules }: SyntheticAdapterOptions): Adapter {
  const features = moduleFeatures(base.config)
  const maxRank = Math.max(...ranks)
  const seed = createHash('sha256').update(name).digest()
  let state = seed.readInt32LE()
  const small = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    return state / 2 ** 37
  }
  const filled = (length: number) => {
    const values = new Float32Array(length)
    for (let i = 0; i < length; i++) values[i] = small()
    return values
  }
  const factors = new Map<ModuleKey, LoraFactors>()
  for (let layer = 0; layer < base.config.layers; layer++) {
    for (const module of targetModules) {
      const { inFeatures, outFeatures } = features[module]
      const [loraA, loraB] = [filled(maxRank * inFeatures), filled(maxRank * outFeatures)]
      factors.set(`${layer}.${module}`, { inFeatures, outFeatures, loraA, loraB })
    }
  }
  return {
    ...{ name, digest: `sha256:${seed.toString('hex')}`, baseModel: base.name, baseDigest: base.digest },
    ...{ method: 'dylora', ranks, maxRank, loraAlpha: maxRank, scaling: 'alpha/b', targetModules, factors },
    ...{ prompt: { prefix: [], suffix: [] }, quality: [], training: { initialized: 'random' } },
  }
}
