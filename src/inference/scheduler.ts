/** What the engine does next: a pure decision over who waits, who is being prefilled and who runs. */

/** What a request costs the batch: its adapter (null for none) and how many of its rank rows. */
export interface RankRows {
  readonly adapter: string | null
  readonly rank: number
}

/** What a request takes of the batch. */
interface Load extends RankRows {
  /** Slots of the cache: more than one for several texts or beams. */
  readonly slots: number
}

interface Prefilling {
  readonly promptTokens: number
  /** Prompt tokens that are in the cache. */
  readonly cached: number
}

export interface EngineState {
  /** Oldest first. */
  readonly waiting: readonly Load[]
  readonly prefilling: Prefilling | null
  readonly running: readonly Load[]
}

export interface BatchLimits {
  /** Slots of the cache: rows of a step at most. */
  readonly maxBatchSize: number
  /** Prompt tokens in one prefill step: the knob between time to first token and time between tokens. */
  readonly prefillChunk: number
  /** Rows of all adapters in a batch, side by side. */
  readonly maxRankRows: number
}

export interface Plan {
  /** Does the oldest waiting request get its slots? */
  readonly admit: boolean
  /** How many prompt tokens the request in prefill (the one just admitted, if any) gets into the cache. */
  readonly prefillTokens: number
  /** Do the running requests get a token each? */
  readonly decode: boolean
}

/**
 * One iteration. One request is prefilled at a time, a chunk each iteration, while all others go on decoding.
 * Admission is first come, first served: a request that does not fit holds back those behind it, so none starves.
 */
export function plan(state: EngineState, limits: BatchLimits, promptTokensOfOldest: number): Plan {
  const { waiting, prefilling, running } = state
  const [oldest] = waiting
  const admit = oldest !== undefined && prefilling === null && fits(oldest, running, limits)
  const left = prefilling ? prefilling.promptTokens - prefilling.cached : admit ? promptTokensOfOldest : 0
  return { admit, prefillTokens: Math.min(left, limits.prefillChunk), decode: running.length > 0 }
}

function fits(request: Load, running: readonly Load[], { maxBatchSize, maxRankRows }: BatchLimits): boolean {
  const all = [...running, request]
  return all.reduce((sum, { slots }) => sum + slots, 0) <= maxBatchSize && rankRows(all) <= maxRankRows
}

/** Rows that a batch needs: of each adapter as many as the highest of its ranks in use. */
export function rankRows(requests: readonly RankRows[]): number {
  return [...highestRanks(requests).values()].reduce((sum, rank) => sum + rank, 0)
}

/** The highest rank in use of each adapter; base requests need no rows. */
export function highestRanks(requests: readonly RankRows[]): Map<string, number> {
  const highest = new Map<string, number>()
  for (const { adapter, rank } of requests) {
    if (adapter !== null && rank > 0) highest.set(adapter, Math.max(rank, highest.get(adapter) ?? 0))
  }
  return highest
}
