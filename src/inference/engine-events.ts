/** What the engine tells of live requests to whoever listens: metrics and logs, which it does not know. */

import type {
  FinishReason,
  GenerateRequest,
  GenerateResult,
  RankReason,
  RankRequest,
  Served,
  Timings,
} from './request.ts'
import type { AdapterCard } from './residency.ts'

export interface EngineEvents {
  /** A request is over; `outcome` is `success` or the code of its error. */
  finished: [
    {
      readonly served: Served
      readonly outcome: string
      readonly finishReason: FinishReason | null
      readonly promptTokens: number
      readonly generatedTokens: number
      readonly timings: Timings
    },
  ]
  /** A decode step of the whole batch, the background's requests in it too. */
  step: [{ readonly batchSize: number; readonly distinctRanks: number; readonly durationMs: number }]
  firstToken: [{ readonly adapterId: string | null; readonly rank: number; readonly ms: number }]
  interToken: [{ readonly adapterId: string | null; readonly rank: number; readonly ms: number }]
  /** A request was turned away before it waited. */
  rejected: [{ readonly reason: string }]
  rankDecision: [{ readonly requested: RankRequest; readonly chosen: number; readonly reason: RankReason }]
  /** A request for an adapter that has a canary: which of the two answers. */
  canaryDecision: [{ readonly adapter: string; readonly canary: string; readonly chosen: string }]
  /** A request was answered whose tokens are to be scored again at the highest rank. */
  shadow: [{ readonly request: GenerateRequest; readonly result: GenerateResult }]
  adapterLoaded: [{ readonly adapter: AdapterCard; readonly durationMs: number }]
  adapterRemoved: [{ readonly name: string }]
  adapterRefused: [{ readonly name: string; readonly reason: string; readonly code: string }]
}
