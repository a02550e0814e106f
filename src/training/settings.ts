/** Everything that a training run can be told, with defaults; the same settings and data give the same result. */
import { z } from 'zod'
import { scalingRules, targetModules } from '../dylora/adapter.ts'
import { type RankDistribution, rankDistributions } from './rank-sampling.ts'
import { decayNames } from './schedule.ts'

/**
 * Named ways to train all ranks at once. `paper` is section 4 and table 8. `stratified` was the best that we measured at an
 * equal number of steps (docs/results.md): a rank for each example, spread evenly over a geometric distribution, and 3 of
 * 10 examples at the highest.
 */
export const recipes = {
  stratified: {
    rankPer: 'example',
    rankDraw: 'stratified',
    distribution: 'geometric',
    maxRankShare: 0.3,
    scaling: 'alpha/r',
    alpha: 16,
  },
  paper: {
    rankPer: 'batch',
    rankDraw: 'independent',
    distribution: 'uniform',
    maxRankShare: 0,
    scaling: 'alpha/b',
    alpha: 16,
  },
} as const
export type RecipeName = keyof typeof recipes

const recipe = recipes.stratified

const names = <T extends string>(table: Readonly<Record<T, unknown>>) => Object.keys(table) as [T, ...T[]]
const share = z.number().min(0).lt(1)

export const TrainingSettings = z.strictObject({
  method: z
    .enum(['dylora', 'lora', 'full'])
    .default('dylora')
    .describe('What is learnt: nested factors, factors of one rank, or every weight'),
  maxRank: z.int().min(1).max(512).default(8).describe('The highest rank'),
  alpha: z
    .number()
    .positive()
    .default(recipe.alpha)
    .describe('lora_alpha; the branch is scaled by alpha over the rank in use'),
  scaling: z.enum(names(scalingRules)).default(recipe.scaling).describe('How the branch is scaled at rank b'),
  targetModules: z
    .array(z.enum(targetModules))
    .min(1)
    .default([...targetModules])
    .describe('The linear layers that are adapted'),
  distribution: z
    .enum(names<RankDistribution>(rankDistributions))
    .default(recipe.distribution)
    .describe('How ranks are drawn'),
  rankPer: z
    .enum(['batch', 'example'])
    .default(recipe.rankPer)
    .describe('One rank a step, as in the paper, or one an example'),
  rankDraw: z
    .enum(['independent', 'stratified'])
    .default(recipe.rankDraw)
    .describe('Ranks are drawn on their own, as in the paper, or cover the distribution evenly'),
  maxRankShare: share
    .default(recipe.maxRankShare)
    .describe('Share of the examples that always train the highest rank (--rank-per example)'),
  objective: z
    .enum(['sampled', 'matryoshka'])
    .default('sampled')
    .describe('Examples train the rank drawn, or all ranks at once through a fixed diagonal (MatryoshkaLoRA)'),
  distillation: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .describe(
      "Share of the highest rank's own distribution in the target of the others; each example then comes twice",
    ),
  update: z.enum(['all', 'frozen']).default('all').describe('Rows 1..b move, or row b alone'),
  epochs: z.number().positive().default(3).describe('Passes over the data, unless steps are given'),
  steps: z.int().min(1).optional().describe('Optimizer steps'),
  batchSize: z.int().min(1).max(4096).default(16).describe('Sequences in a run'),
  accumulate: z.int().min(1).max(4096).default(1).describe('Runs in an optimizer step'),
  learningRate: z
    .number()
    .positive()
    .optional()
    .describe('The peak; 2e-3 for adapters and 1e-3 for full training unless given'),
  loraplusLrRatio: z.number().positive().default(1).describe('Learning rate of lora_B over that of lora_A (LoRA+)'),
  rowLrExponent: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .describe('Learning rate of a row times (1 / its share of the draws) to this power'),
  warmupSteps: z.int().min(0).optional().describe('Steps over which the learning rate climbs; 6 % of all unless given'),
  decay: z
    .enum(decayNames as ['linear', 'cosine', 'constant'])
    .default('cosine')
    .describe('How the learning rate falls afterwards'),
  weightDecay: z.number().min(0).default(0.01).describe('Decoupled weight decay'),
  beta1: share.default(0.9).describe('Decay of the first moment'),
  beta2: share.default(0.999).describe('Decay of the second moment'),
  epsilon: z.number().positive().default(1e-8).describe('Added to the root of the second moment'),
  clip: z.number().min(0).default(1).describe('Largest norm of the gradient; 0 leaves it as it is'),
  labelSmoothing: share.default(0).describe('Share of the target that is spread over all tokens'),
  dropout: share.default(0).describe('LoRA dropout: share of the inputs of a branch that is dropped'),
  maxLength: z.int().min(2).optional().describe("Longest sequence in tokens; the model's positions unless given"),
  seed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1)
    .default(42)
    .describe('Of order, ranks, initial values and dropout'),
})
export type TrainingSettings = z.infer<typeof TrainingSettings>

/** Rows 1..b-1 are frozen in a step of one rank b; examples of several ranks leave none to freeze. */
export const movesTooMany = ({ rankPer, update }: TrainingSettings): boolean =>
  rankPer === 'example' && update === 'frozen'

/** The share of the steps that the paper's GLUE runs warm up over (table 8). */
const warmupShare = 0.06

export const warmupStepsOf = ({ warmupSteps }: TrainingSettings, steps: number): number =>
  warmupSteps ?? Math.ceil(warmupShare * steps)

const defaultLearningRate: Readonly<Record<TrainingSettings['method'], number>> = {
  dylora: 2e-3,
  lora: 2e-3,
  full: 1e-3,
}

export const peakLearningRate = ({ method, learningRate }: TrainingSettings): number =>
  learningRate ?? defaultLearningRate[method]
