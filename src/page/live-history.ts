/** The last minutes of the service, out of successive scrapes of its metrics. */
import { type PrometheusSamples, sumOf } from './prometheus-text.ts'

export interface Scrape {
  /** Seconds since 1970. */
  readonly time: number
  /** Null where the server did not answer. */
  readonly samples: PrometheusSamples | null
}

/** Numbers of one moment; null where nothing is known, or nothing ran. */
export interface LivePoint {
  readonly time: number
  readonly running: number | null
  readonly waiting: number | null
  readonly tokensPerSecond: number | null
  readonly batchSize: number | null
  readonly distinctRanks: number | null
  /** Of the KV cache, 0 to 1. */
  readonly cacheUsage: number | null
}

/** What is scraped; the service may have much more, such as a number for each rank of each adapter. */
export const scraped = [
  'dylora_requests_running',
  'dylora_requests_waiting',
  'dylora_generation_tokens_total',
  'dylora_batch_size',
  'dylora_batch_distinct_ranks',
  'dylora_kv_cache_usage_ratio',
]

export const keptSeconds = 300

/** A point from this scrape and the one before: counters tell by their difference. */
export function livePoint(before: Scrape | null, now: Scrape): LivePoint {
  const { time, samples } = now
  const gauge = (name: string) => samples && sumOf(samples, name)
  const increase = (name: string) => increaseOf(before, now, name)
  const seconds = before === null ? 0 : time - before.time
  const tokens = increase('dylora_generation_tokens_total')
  return {
    time,
    running: gauge('dylora_requests_running'),
    waiting: gauge('dylora_requests_waiting'),
    tokensPerSecond: tokens === null || seconds <= 0 ? null : tokens / seconds,
    batchSize: ratio(increase('dylora_batch_size_sum'), increase('dylora_batch_size_count')),
    distinctRanks: ratio(increase('dylora_batch_distinct_ranks_sum'), increase('dylora_batch_distinct_ranks_count')),
    cacheUsage: gauge('dylora_kv_cache_usage_ratio'),
  }
}

/** A counter that fell was started anew, with the server: then nothing is known. */
function increaseOf(before: Scrape | null, { samples }: Scrape, name: string): number | null {
  if (!before?.samples || !samples) return null
  const difference = (sumOf(samples, name) ?? 0) - (sumOf(before.samples, name) ?? 0)
  return difference < 0 ? null : difference
}

const ratio = (sum: number | null, count: number | null): number | null =>
  sum === null || count === null || count === 0 ? null : sum / count

/** With the new point, without what is too old. */
export const withPoint = (history: readonly LivePoint[], point: LivePoint): LivePoint[] => [
  ...history.filter(({ time }) => time > point.time - keptSeconds),
  point,
]
