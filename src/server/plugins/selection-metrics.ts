/** Metrics of what is between a request and its weights: canaries, and the comparison of ranks by shadow evaluation. */
import { Counter, type Registry } from 'prom-client'
import { type Listeners, listen, type Serving } from '../serving.ts'
import type { ShadowEvaluation } from '../shadow-evaluation.ts'

/** Returns what stops it. */
export function countSelection(registry: Registry, engine: Serving, shadows: ShadowEvaluation): () => void {
  const registers = [registry]
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Counter({ name: `dylora_${name}`, help, labelNames, registers })
  const byRank = ['adapter', 'rank'] as const
  // biome-ignore format: reads as a table
  const metrics = {
    canary: counter('canary_requests_total', 'Requests for an adapter that has a canary, by which of the two answered', ['adapter', 'canary', 'chosen']),
    requests: counter('shadow_requests_total', 'Answers that were to be scored again at the highest rank, however that ended', [...byRank, 'outcome']),
    tokens: counter('shadow_tokens_total', 'Tokens that were scored again', byRank),
    agreed: counter('shadow_agreed_tokens_total', 'Of these, tokens that are the likeliest at the highest rank too', byRank),
    nats: counter('shadow_nats_total', 'Sum of -ln p of these tokens, at the rank that answered and at the highest', [...byRank, 'scored_at']),
  }
  shadows.on('finished', ({ adapterId: adapter, rank, outcome }) => metrics.requests.inc({ adapter, rank, outcome }))
  shadows.on('scored', ({ adapterId: adapter, rank, tokens, agreed, servedNats, highestNats }) => {
    metrics.tokens.inc({ adapter, rank }, tokens)
    metrics.agreed.inc({ adapter, rank }, agreed)
    metrics.nats.inc({ adapter, rank, scored_at: 'served' }, servedNats)
    metrics.nats.inc({ adapter, rank, scored_at: 'highest' }, highestNats)
  })
  const listeners: Listeners = {
    canaryDecision: (decision) => metrics.canary.inc(decision),
  }
  return listen(engine, listeners)
}
