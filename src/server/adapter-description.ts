/** An adapter as `/adapters` shows it: state, ranks, quality as measured, latency as it is now. */
import { z } from 'zod'
import type { QualityPoint } from '../dylora/adapter.ts'
import { errors } from '../errors.ts'
import type { RegistryEntry } from '../inference/adapter-registry.ts'
import { autoChoice } from '../inference/rank-choice.ts'
import type { AdapterCard } from '../inference/residency.ts'
import type { LatencyBook } from './latency.ts'
import type { Serving } from './serving.ts'

const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER)

const Latency = z
  .object({ count, p50: z.number(), p90: z.number(), p99: z.number() })
  .meta({ id: 'Latency', description: 'Percentiles in milliseconds, since the start' })

const Quality = z
  .object({
    dataset: z.string(),
    split: z.enum(['validation', 'test']),
    metric: z.string(),
    value: z.number(),
    ci95: z.tuple([z.number(), z.number()]).nullable().describe('95 % confidence interval'),
    n: count.describe('Examples that the value rests on'),
    higher_is_better: z.boolean(),
    primary: z.boolean().describe('Is it the metric that `auto` reads, on the validation split'),
    decoding: z
      .string()
      .optional()
      .describe('How the texts were generated, where it was not greedily up to 100 tokens'),
  })
  .meta({ id: 'Quality' })

const Baseline = Quality.extend({
  method: z.literal('lora').describe('A LoRA trained for this rank alone, with the same steps and data'),
}).meta({ id: 'Baseline' })

const Rank = z
  .object({
    rank: count.describe('0 is the base model with the prompt of this adapter'),
    parameters: count,
    bytes: count,
    quality: z.array(Quality),
    baselines: z.array(Baseline).describe('What other trainings reach at this rank, where the adapter carries it'),
    latency: z.object({ time_to_first_token_ms: Latency, inter_token_ms: Latency, total_ms: Latency }),
  })
  .meta({ id: 'Rank' })

export const AdapterDescription = z
  .object({
    id: z.string().describe('Its name; `name@digest` for a version beside the one that was published last'),
    state: z.enum(['serving', 'refused']),
    reason: z.string().nullable().describe('Why its directory, or the newest version in it, was refused'),
    is_default: z.boolean().describe('Does it answer requests that name no adapter'),
    pinned_to: z
      .string()
      .nullable()
      .describe('The version that this name stands for, whatever is published: `name@digest`'),
    digest: z.string().nullable(),
    resident: z.boolean().describe('Are its factors in memory? Otherwise the next request has them loaded'),
    base_model: z.string().nullable(),
    base_digest: z.string().nullable(),
    method: z.enum(['dylora', 'lora']).nullable(),
    max_rank: count.nullable(),
    lora_alpha: z.number().nullable(),
    scaling: z.string().nullable().describe('How the sum over ranks is scaled at rank b'),
    target_modules: z.array(z.string()),
    auto: z.object({ rank: count, reason: z.string() }).nullable().describe('What `auto` takes, at `min_quality`'),
    policy: z
      .object({
        default_rank: z
          .union([count, z.enum(['max', 'auto'])])
          .optional()
          .describe('For a request that names no rank'),
        max_rank: count.optional().describe('No rank above it is served'),
      })
      .describe('What the operator says of its ranks'),
    ranks: z.array(Rank).describe('Empty where `ranks=false` was asked for'),
  })
  .meta({ id: 'Adapter' })

type AdapterDescription = z.infer<typeof AdapterDescription>

export interface AdapterView {
  readonly engine: Serving
  readonly latency: LatencyBook
}

/** How much of a description is wanted. */
export interface Detail {
  readonly ranks: boolean
  /** Of `auto`; undefined is its default. */
  readonly minQuality?: number | undefined
}

export const describeAdapters = (view: AdapterView, detail: Detail): AdapterDescription[] =>
  view.engine.registry.list().map((entry) => describe(view, entry, detail))

/** @throws adapter_not_found */
export function describeAdapter(view: AdapterView, id: string, detail: Detail): AdapterDescription {
  const entry = view.engine.registry.get(id)
  if (entry !== undefined) return describe(view, entry, detail)
  throw errors.adapterNotFound(
    id,
    view.engine.registry.list().map(({ name }) => name),
  )
}

function describe(
  { engine, latency }: AdapterView,
  { name, state, reason, adapter, isLoaded, policy, pinnedTo }: RegistryEntry,
  { ranks, minQuality }: Detail,
): AdapterDescription {
  return {
    id: name,
    state,
    reason,
    is_default: engine.registry.defaultAdapter === name,
    pinned_to: pinnedTo,
    digest: adapter?.digest ?? null,
    resident: isLoaded,
    base_model: adapter?.baseModel ?? null,
    base_digest: adapter?.baseDigest ?? null,
    method: adapter?.method ?? null,
    max_rank: adapter?.maxRank ?? null,
    lora_alpha: adapter?.loraAlpha ?? null,
    scaling: adapter?.scaling ?? null,
    target_modules: [...(adapter?.targetModules ?? [])],
    auto: adapter && autoChoice(adapter, minQuality, policy),
    policy: {
      ...(policy.defaultRank !== undefined && { default_rank: policy.defaultRank }),
      ...(policy.maxRank !== undefined && { max_rank: policy.maxRank }),
    },
    ranks: adapter && ranks ? [0, ...adapter.ranks].map((rank) => describeRank(latency, adapter, rank)) : [],
  }
}

function describeRank(latency: LatencyBook, adapter: AdapterCard, rank: number) {
  const parameters = rank * adapter.parametersPerRank
  return {
    rank,
    parameters,
    bytes: parameters * Float32Array.BYTES_PER_ELEMENT,
    quality: pointsAt(adapter.quality, rank),
    baselines: pointsAt(adapter.baselines ?? [], rank),
    latency: latency.of(adapter.name, rank),
  }
}

function pointsAt<P extends QualityPoint>(points: readonly P[], rank: number) {
  return points
    .filter((point) => point.rank === rank)
    .map(({ rank: _, higherIsBetter, ci95, ...point }) => ({
      ...point,
      ci95: ci95 === null ? null : ([...ci95] as [number, number]),
      higher_is_better: higherIsBetter,
    }))
}
