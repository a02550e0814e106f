/** What the HTTP layer needs of the engine, and what it is told about the process it runs in. */
import type { EventEmitter } from 'node:events'
import type { Adapter } from '../dylora/adapter.ts'
import type {
  FinishReason,
  GenerateRequest,
  Generation,
  RankReason,
  RankRequest,
  Served,
  Timings,
} from '../inference/request.ts'

export interface EngineEvents {
  finished: [
    {
      served: Served
      outcome: string
      finishReason: FinishReason | null
      promptTokens: number
      generatedTokens: number
      timings: Timings
    },
  ]
  step: [{ batchSize: number; distinctRanks: number; durationMs: number }]
  firstToken: [{ adapterId: string | null; rank: number; ms: number }]
  interToken: [{ adapterId: string | null; rank: number; ms: number }]
  rejected: [{ reason: string }]
  rankDecision: [{ requested: RankRequest; chosen: number; reason: RankReason }]
  adapterLoaded: [{ adapter: Adapter; durationMs: number }]
  adapterRemoved: [{ name: string }]
  adapterRefused: [{ name: string; reason: string; code: string }]
}

export interface RegistryEntry {
  readonly name: string
  readonly state: 'serving' | 'refused'
  readonly reason: string | null
  readonly adapter: Adapter | null
  readonly autoChoice: { readonly rank: number; readonly reason: RankReason } | null
}

export interface Serving extends EventEmitter<EngineEvents> {
  submit(request: GenerateRequest): Generation
  readonly stats: { running: number; waiting: number; kvCacheUsage: number }
  readonly registry: {
    list(): RegistryEntry[]
    get(name: string): RegistryEntry | undefined
    readonly defaultAdapter: string | null
    allowedRanks(adapterId: string | undefined): readonly (number | string)[]
  }
}

/** What serves here, as `/info` tells it. */
export interface ServiceInfo {
  readonly version: string
  readonly versions: Readonly<Record<string, string>>
  readonly baseModel: {
    readonly name: string
    readonly digest: string
    readonly architecture: string
    readonly positions: number
    readonly vocabulary: number
  }
  readonly device: { readonly kind: 'cpu' | 'cuda'; readonly provider: string; readonly reason: string }
  readonly limits: Readonly<Record<string, number>>
}

export type Listeners = { readonly [E in keyof EngineEvents]?: (...event: EngineEvents[E]) => void }

/** Hears the engine's events; the returned function stops it. */
export function listen(engine: Serving, listeners: Listeners): () => void {
  const entries = Object.entries(listeners) as [keyof EngineEvents, (...event: unknown[]) => void][]
  for (const [event, listener] of entries) engine.on(event, listener)
  return () => {
    for (const [event, listener] of entries) engine.off(event, listener)
  }
}
