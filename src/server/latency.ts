/** Live latency of every adapter at every rank, in memory that does not grow with the requests. */
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'
import type { Listeners } from './serving.ts'

const latencyKinds = ['time_to_first_token_ms', 'inter_token_ms', 'total_ms'] as const
export type LatencyKind = (typeof latencyKinds)[number]

interface LatencySummary {
  readonly count: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
}

export type Latencies = Readonly<Record<LatencyKind, LatencySummary>>

/** Records what the engine announces. */
export const latencyListeners = (book: LatencyBook): Listeners => ({
  firstToken: ({ adapterId, rank, ms }) => book.record('time_to_first_token_ms', adapterId, rank, ms),
  interToken: ({ adapterId, rank, ms }) => book.record('inter_token_ms', adapterId, rank, ms),
  finished: ({ served, timings }) => book.record('total_ms', served.adapterId, served.rank, timings.totalMs),
  adapterRemoved: ({ name }) => book.forget(name),
})

/** Two significant figures from a microsecond to an hour: some 25 kB a histogram. */
const range = { lowest: 1, highest: 3_600_000_000, figures: 2 } as const

const empty: LatencySummary = { count: 0, p50: 0, p90: 0, p99: 0 }

export class LatencyBook {
  readonly #histograms = new Map<string, RecordableHistogram>()

  /** `adapter` null is the bare base model. */
  record(kind: LatencyKind, adapter: string | null, rank: number, ms: number): void {
    const key = keyOf(kind, adapter, rank)
    let histogram = this.#histograms.get(key)
    if (histogram === undefined) {
      histogram = createHistogram(range)
      this.#histograms.set(key, histogram)
    }
    histogram.record(Math.min(range.highest, Math.max(1, Math.round(ms * 1000))))
  }

  of(adapter: string | null, rank: number): Latencies {
    return {
      time_to_first_token_ms: summary(this.#histograms.get(keyOf('time_to_first_token_ms', adapter, rank))),
      inter_token_ms: summary(this.#histograms.get(keyOf('inter_token_ms', adapter, rank))),
      total_ms: summary(this.#histograms.get(keyOf('total_ms', adapter, rank))),
    }
  }

  /** An adapter that is gone takes its numbers with it. */
  forget(adapter: string): void {
    for (const key of this.#histograms.keys())
      if (key.startsWith(`${JSON.stringify(adapter)} `)) this.#histograms.delete(key)
  }
}

const keyOf = (kind: LatencyKind, adapter: string | null, rank: number): string =>
  `${JSON.stringify(adapter)} ${rank} ${kind}`

function summary(histogram: RecordableHistogram | undefined): LatencySummary {
  if (histogram === undefined) return empty
  const at = (percentile: number): number => histogram.percentile(percentile) / 1000
  return { count: histogram.count, p50: at(50), p90: at(90), p99: at(99) }
}
