/** GPT-2's linear layers by path, and the logical modules that each fuses. */
import type { ModuleKey, TargetModule } from './adapter.ts'

/** The parts make up a layer's outputs, in this order. */
const linears = [
  { path: 'attn.c_attn', parts: ['q_proj', 'k_proj', 'v_proj'] },
  { path: 'attn.c_proj', parts: ['o_proj'] },
  { path: 'mlp.c_fc', parts: ['fc_in'] },
  { path: 'mlp.c_proj', parts: ['fc_out'] },
] as const satisfies readonly { path: string; parts: readonly TargetModule[] }[]
export type LinearPath = (typeof linears)[number]['path']

export function isLinearPath(path: string | undefined): path is LinearPath {
  return linears.some((linear) => linear.path === path)
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
