/** What the HTTP layer needs of the engine, and what it is told about the process it runs in. */
import type { EventEmitter } from 'node:events'
import type { Tokenizer } from '../dylora/tokenizer.ts'
import type { AdapterRegistry } from '../inference/adapter-registry.ts'
import type { EngineStats } from '../inference/engine.ts'
import type { EngineEvents } from '../inference/engine-events.ts'
import type { Grammar, GrammarSpec } from '../inference/grammar/grammars.ts'
import type { GenerateRequest, Generation, Served } from '../inference/request.ts'

/** The engine, as far as HTTP is concerned. */
export interface Serving extends EventEmitter<EngineEvents> {
  submit(request: GenerateRequest): Generation
  check(request: GenerateRequest): Served
  prepareGrammar(spec: GrammarSpec): Promise<Grammar>
  readonly stats: EngineStats
  readonly tokenizer: Pick<Tokenizer, 'encode' | 'decode' | 'tokenBytes'>
  readonly registry: Pick<AdapterRegistry, 'list' | 'get' | 'defaultAdapter' | 'allowedRanks'>
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
    /** How its matrices are stored. */
    readonly quantization: string
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
