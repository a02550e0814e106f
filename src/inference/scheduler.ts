/** What the engine does next: a pure decision over who waits, who is being prefilled and who runs. */
import type { Priority } from './request.ts'

/** What a request costs the batch: its adapter (null for none) and how many of its rank rows. */
export interface RankRows {
  readonly adapter: string | null
  readonly rank: number
}

/** What a request takes of the batch. */
interface Load extends RankRows {
  /** Slots of the cache: more than one for several texts or beams. */
  readonly slots: number
  readonly priority: Priority
}

interface Prefilling {
  readonly priority: Priority
  readonly promptTokens: number
  /** Prompt tokens that are in the cache. */
  readonly cached: number
}

export interface EngineState {
  /** The waiting request that is next; one of the background only where no live one waits. */
  readonly next: (Load & { readonly promptTokens: number }) | null
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
  /** Slots that the background may hold together. */
  readonly maxBackgroundSlots: number
}

export interface Plan {
  /** How many requests of the background lose their slots first, the latest before the others, and wait again. */
  readonly evict: number
  /** Does the next waiting request get its slots? */
  readonly admit: boolean
  /** How many prompt tokens the request in prefill (the one just admitted, if any) gets into the cache. */
  readonly prefillTokens: number
  /** Do the running requests get a token each? */
  readonly decode: boolean
}

/**
 * One iteration. One request is prefilled at a time, a chunk each iteration, while all others go on decoding.
 * A request whose turn it is and that does not fit holds back the others, so none starves. Live requests come before the
 * background, and take its slots where they need them.
 */
export function plan(state: EngineState, limits: BatchLimits): Plan {
  const { next } = state
  const evict = next?.priority === 'live' ? evictions(next, state, limits) : 0
  const { prefilling, running } = evict > 0 ? without(state, evict) : state
  const admit = next !== null && prefilling === null && fits(next, running, limits)
  const left = prefilling ? prefilling.promptTokens - prefilling.cached : admit ? next.promptTokens : 0
  return { evict, admit, prefillTokens: Math.min(left, limits.prefillChunk), decode: running.length > 0 }
}

/** The fewest requests of the background that must go for this one to be admitted now; 0 where that would not help. */
function evictions(request: Load, state: EngineState, limits: BatchLimits): number {
  const holders = [...state.running, ...(state.prefilling ? [state.prefilling] : [])]
  const most = holders.filter(({ priority }) => priority === 'background').length
  const counts = Array.from({ length: most + 1 }, (_, count) => count)
  return counts.find((count) => admits(request, without(state, count), limits)) ?? 0
}

const admits = (request: Load, { prefilling, running }: EngineState, limits: BatchLimits): boolean =>
  prefilling === null && fits(request, running, limits)

/** The state when so many of the background have gone. The one in prefill is the latest. */
function without(state: EngineState, count: number): EngineState {
  if (count === 0) return state
  const takesPrefill = state.prefilling?.priority === 'background'
  const background = state.running.flatMap(({ priority }, i) => (priority === 'background' ? [i] : []))
  const going = new Set(background.slice(background.length - count + (takesPrefill ? 1 : 0)))
  return {
    next: state.next,
    prefilling: takesPrefill ? null : state.prefilling,
    running: state.running.filter((_, i) => !going.has(i)),
  }
}

function fits(request: Load, running: readonly Load[], limits: BatchLimits): boolean {
  const all = [...running, request]
  const background = all.filter(({ priority }) => priority === 'background')
  return (
    slotsOf(all) <= limits.maxBatchSize &&
    rankRows(all) <= limits.maxRankRows &&
    (request.priority === 'live' || slotsOf(background) <= limits.maxBackgroundSlots)
  )
}

const slotsOf = (requests: readonly Load[]): number => requests.reduce((sum, { slots }) => sum + slots, 0)

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
