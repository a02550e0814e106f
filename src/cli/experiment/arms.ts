/** The table of what is compared: each arm is a name and the settings that make it. One more arm is one more row. */
import type { Adapter } from '../../dylora/adapter.ts'
import { scalingOf } from '../../dylora/adapter.ts'
import { inSingularOrder } from '../../dylora/singular-order.ts'
import { recipes, type TrainingSettings } from '../../training/settings.ts'

/** What an arm is to the comparison. */
export type Family = 'lora' | 'cut' | 'dylora' | 'recipe' | 'candidate' | 'full'

/** LoRA as the paper trains it (section 5). Said in full, so that other defaults of the trainer do not change the baselines. */
export const plainLora: Partial<TrainingSettings> = {
  ...{ alpha: 16, scaling: 'alpha/b', loraplusLrRatio: 1, rowLrExponent: 0 },
}

/** The paper's method (section 4): one rank for each step, drawn on its own. */
const paperMethod: Partial<TrainingSettings> = {
  ...plainLora,
  ...recipes.paper,
  objective: 'sampled',
}

const stratified: Partial<TrainingSettings> = { ...recipes.stratified, objective: 'sampled', update: 'all' }

export interface NestedArm {
  readonly id: string
  readonly label: string
  readonly family: 'dylora' | 'recipe' | 'candidate'
  readonly settings: Partial<TrainingSettings>
}

/** One training for all ranks: the paper's method, its ablations (table 4), and this project's own. */
export const nestedArms: readonly NestedArm[] = [
  {
    id: 'dylora',
    label: 'DyLoRA',
    family: 'dylora',
    settings: { ...paperMethod, distribution: 'uniform', update: 'all' },
  },
  {
    id: 'dylora-frozen',
    label: 'DyLoRA, frozen',
    family: 'dylora',
    settings: { ...paperMethod, distribution: 'uniform', update: 'frozen' },
  },
  {
    id: 'dylora-geometric',
    label: 'DyLoRA, geometric',
    family: 'dylora',
    settings: { ...paperMethod, distribution: 'geometric', update: 'all' },
  },
  {
    id: 'dylora-frozen-geometric',
    label: 'DyLoRA, frozen, geometric',
    family: 'dylora',
    settings: { ...paperMethod, distribution: 'geometric', update: 'frozen' },
  },
  {
    id: 'recipe',
    label: 'Recipe `stratified`',
    family: 'recipe',
    settings: stratified,
  },
]

/** What the recipe was chosen among: one thing less or other than in it. A search, told by a single seed. */
export const candidateArms: readonly NestedArm[] = (
  [
    ['independent', 'ranks drawn on their own', { rankDraw: 'independent' }],
    ['uniform', 'uniform', { distribution: 'uniform' }],
    ['no-top', 'no share at the top rank', { maxRankShare: 0 }],
    ['top-half', 'half at the top rank', { maxRankShare: 0.5 }],
    ['alpha-b', 'alpha/b', { scaling: 'alpha/b' }],
    ['alpha-sqrt-b', 'alpha/√b, alpha 8', { scaling: 'alpha/sqrt(b)', alpha: 8 }],
    ['loraplus', 'LoRA+, ratio 4', { loraplusLrRatio: 4 }],
    ['row-rates', 'rates of rows by their share', { rowLrExponent: 0.5 }],
    ['distillation', 'the highest rank teaches the others', { distillation: 1 }],
    ['matryoshka', "MatryoshkaLoRA's diagonal", { objective: 'matryoshka' }],
  ] as const
).map(([id, label, change]) => ({
  id: `candidate-${id}`,
  label: `Recipe, but ${label}`,
  family: 'candidate',
  settings: { ...stratified, ...change },
}))

/** Ways to get lower ranks out of a LoRA that was trained for one. */
export interface CutArm {
  readonly id: string
  readonly label: string
  readonly derive: (lora: Adapter) => Adapter
}

/** Every rank up to the adapter's own, scaled by `scaling` so that the highest is what was trained. */
function cut(lora: Adapter, scaling: Adapter['scaling'], factors: Adapter['factors']): Adapter {
  return {
    ...lora,
    factors,
    scaling,
    method: 'dylora',
    ranks: Array.from({ length: lora.maxRank }, (_, i) => i + 1),
    loraAlpha: scalingOf(lora, lora.maxRank) * lora.maxRank,
  }
}

export const cutArms: readonly CutArm[] = [
  {
    id: 'lora-cut-alpha-b',
    label: 'LoRA at the top rank, cut, alpha/b (the baseline of the paper)',
    derive: (lora) => cut(lora, 'alpha/b', lora.factors),
  },
  {
    id: 'lora-cut-alpha-r',
    label: 'LoRA at the top rank, cut, alpha/r',
    derive: (lora) => cut(lora, 'alpha/r', lora.factors),
  },
  {
    id: 'lora-svd',
    label: 'LoRA at the top rank, SVD of BA',
    derive: (lora) =>
      cut(lora, 'alpha/r', new Map([...lora.factors].map(([key, factors]) => [key, inSingularOrder(factors)]))),
  },
]

export const loraArm = { id: 'lora', label: 'LoRA trained for the rank' } as const
export const fullArm = { id: 'full', label: 'Full fine-tuning' } as const
