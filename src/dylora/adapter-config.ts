/** The two JSON files of an adapter directory: `dylora.json`, which is ours, and PEFT's `adapter_config.json`. */
import { z } from 'zod'
import { type Adapter, scalingRules, targetModules } from './adapter.ts'

export const adapterFormatVersion = 1

const rank = z.int().min(1).max(65_536)
const tokenIds = z.array(z.int().min(0))

const QualityPoint = z.strictObject({
  rank: z.int().min(0),
  dataset: z.string().min(1),
  split: z.enum(['validation', 'test']),
  metric: z.string().min(1),
  value: z.number(),
  ci95: z
    .tuple([z.number(), z.number()])
    .refine(([low, high]) => low <= high, 'expected the lower end first')
    .nullable(),
  n: z.int().min(1),
  higherIsBetter: z.boolean(),
  primary: z.boolean(),
  decoding: z.string().min(1).optional(),
})

/** A yardstick is never what `auto` reads. */
const BaselinePoint = QualityPoint.extend({ method: z.literal('lora'), rank, primary: z.literal(false) })

export const DyloraJson = z
  .strictObject({
    formatVersion: z.literal(adapterFormatVersion),
    digest: z.string().regex(/^sha256:[0-9a-f]{64}$/, 'expected sha256:<hex>'),
    baseModel: z.string(),
    baseDigest: z.string().regex(/^(sha256:[0-9a-f]{64})?$/, 'expected sha256:<hex>'),
    method: z.enum(['dylora', 'lora']),
    ranks: z.array(rank).min(1).refine(isAscending, 'expected ascending ranks'),
    maxRank: rank,
    loraAlpha: z.number().positive(),
    scaling: z.enum(Object.keys(scalingRules) as (keyof typeof scalingRules)[]),
    targetModules: z.array(z.enum(targetModules)).min(1).refine(isDistinct, 'expected distinct modules'),
    prompt: z.strictObject({ prefix: tokenIds, suffix: tokenIds }),
    quality: z.array(QualityPoint),
    baselines: z.array(BaselinePoint).optional(),
    policy: z
      .strictObject({
        defaultRank: z.union([z.int().min(0).max(65_536), z.enum(['max', 'auto'])]).optional(),
        maxRank: rank.optional(),
      })
      .optional(),
    training: z.record(z.string(), z.unknown()),
  })
  .superRefine(checkTogether)
export type DyloraJson = z.infer<typeof DyloraJson>

function isAscending(ranks: readonly number[]): boolean {
  return ranks.every((value, i) => i === 0 || value > (ranks[i - 1] ?? 0))
}

function isDistinct(items: readonly unknown[]): boolean {
  return new Set(items).size === items.length
}

/** What the fields owe each other. */
function checkTogether(
  json: Pick<Adapter, 'method' | 'ranks' | 'maxRank' | 'quality' | 'baselines'>,
  context: z.RefinementCtx,
): void {
  const complain = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message })
  const { method, ranks, maxRank, quality, baselines = [] } = json
  if (ranks.at(-1) !== maxRank) complain('ranks', `expected the last to be maxRank ${maxRank}, got ${ranks.at(-1)}`)
  if (method === 'lora' && ranks.length > 1) complain('ranks', `expected one rank for method lora, got ${ranks.length}`)
  const stray = quality.find((point) => point.rank !== 0 && !ranks.includes(point.rank))
  if (stray) complain('quality', `rank ${stray.rank} is not one of ${ranks.join(', ')}`)
  if (!isDistinct(quality.map(pointKey)))
    complain('quality', 'two points for one rank, dataset, split, metric and decoding')
  if (!isDistinct(baselines.map(pointKey)))
    complain('baselines', 'two points for one rank, dataset, split, metric and decoding')
  const primary = quality.filter((point) => point.primary)
  const splits = new Set(primary.map(({ split }) => split))
  const curves = new Set(
    primary.map((p) => JSON.stringify([p.split, p.dataset, p.metric, p.decoding, p.higherIsBetter])),
  )
  if (curves.size > splits.size) complain('quality', 'more than one primary metric on a split')
}

function pointKey({ rank, dataset, split, metric, decoding }: Adapter['quality'][number]): string {
  return JSON.stringify([rank, dataset, split, metric, decoding])
}

const pattern = z.string().refine(isPattern, 'expected a regular expression')

function isPattern(text: string): boolean {
  try {
    return pathPattern(text).test('') || true
  } catch {
    return false
  }
}

/** PEFT matches a pattern against the end of a module's path, from a dot on. */
function pathPattern(text: string): RegExp {
  return new RegExp(`^(?:.*\\.)?(?:${text})$`)
}

/** The fields of PEFT's file that decide the function. Their defaults are PEFT's. */
export const PeftConfig = z.looseObject({
  peft_type: z.literal('LORA'),
  base_model_name_or_path: z.string().nullish(),
  r: rank,
  lora_alpha: z.number(),
  use_rslora: z.boolean().default(false),
  bias: z.literal('none').default('none'),
  rank_pattern: z.record(pattern, rank).nullish(),
  alpha_pattern: z.record(pattern, z.number()).nullish(),
  init_lora_weights: z
    .union([z.boolean(), z.enum(['gaussian', 'eva', 'orthogonal'])], {
      // PiSSA, OLoRA, LoftQ and their like subtract the factors' start from the base weights.
      error: ({ input }) => `'${String(input)}' trains against changed base weights, which is not implemented`,
    })
    .nullish(),
})
export type PeftConfig = z.infer<typeof PeftConfig>

/** Switches of PEFT that change the function and are not implemented; each must be absent, false or empty. */
const unimplemented = [
  'use_dora',
  'use_qalora',
  'use_bdlora',
  'lora_bias',
  'modules_to_save',
  'trainable_token_indices',
  'target_parameters',
  'layer_replication',
  'layers_to_transform',
  'loftq_config',
  'megatron_config',
  'alora_invocation_tokens',
  'arrow_config',
  'kasa_config',
  'monteclora_config',
  'velora_config',
] as const

/** The first switch that is on, or undefined. */
export function unimplementedSwitch(config: Readonly<Record<string, unknown>>): string | undefined {
  return unimplemented.find((name) => isOn(config[name]))
}

function isOn(value: unknown): boolean {
  return typeof value === 'object' && value !== null ? Object.keys(value).length > 0 : Boolean(value)
}

/** lora_alpha for a PEFT file of rank b, whose scaling is lora_alpha/b, so that it is the adapter's own at b. */
const peftAlpha: { readonly [Rule in Adapter['scaling']]: (alpha: number, b: number, maxRank: number) => number } = {
  'alpha/b': (alpha) => alpha,
  'alpha/sqrt(b)': (alpha, b) => alpha * Math.sqrt(b),
  'alpha/r': (alpha, b, maxRank) => (alpha * b) / maxRank,
}

/** One linear layer of the checkpoint as PEFT sees it, with how many logical modules it fuses of those adapted. */
interface TargetedLinear {
  readonly path: string
  readonly adaptedParts: number
}

/**
 * `adapter_config.json` of the adapter cut to `rank`. A linear layer that fuses g adapted modules is a block LoRA of
 * rank g * b with g * alpha, which keeps its scaling.
 */
export function peftConfigOf(
  adapter: Pick<Adapter, 'baseModel' | 'loraAlpha' | 'scaling' | 'maxRank'>,
  targets: readonly TargetedLinear[],
  rank: number,
): PeftConfig {
  const alpha = peftAlpha[adapter.scaling](adapter.loraAlpha, rank, adapter.maxRank)
  // With one kind of linear layer the plain fields can say it all, which more loaders understand than patterns.
  const common = targets.length === 1 ? (targets[0]?.adaptedParts ?? 1) : 1
  const patterned = targets.filter(({ adaptedParts }) => adaptedParts !== common)
  return {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: adapter.baseModel || null,
    r: common * rank,
    lora_alpha: common * alpha,
    rank_pattern: Object.fromEntries(patterned.map(({ path, adaptedParts: g }) => [path, g * rank])),
    alpha_pattern: Object.fromEntries(patterned.map(({ path, adaptedParts: g }) => [path, g * alpha])),
    target_modules: targets.map(({ path }) => path),
    fan_in_fan_out: true,
    bias: 'none',
    lora_dropout: 0,
    use_rslora: false,
    use_dora: false,
    modules_to_save: null,
    inference_mode: true,
    init_lora_weights: true,
  }
}

/** Rank and scaling that PEFT would give the linear layer at this path of the model; patterns match its end. */
export function peftRankAndScaling(config: PeftConfig, path: string): { rank: number; scaling: number } {
  const rank = patternValue(config.rank_pattern, path) ?? config.r
  const alpha = patternValue(config.alpha_pattern, path) ?? config.lora_alpha
  return { rank, scaling: alpha / (config.use_rslora ? Math.sqrt(rank) : rank) }
}

function patternValue(patterns: Readonly<Record<string, number>> | null | undefined, path: string): number | undefined {
  const match = Object.entries(patterns ?? {}).find(([text]) => pathPattern(text).test(path))
  return match?.[1]
}
