/**
 * From requests to results: the public face of this folder. One loop owns the cache and the queue; each iteration admits,
 * prefills a chunk, decodes a token for every running request, samples and publishes (see `batch.ts`).
 */
import { EventEmitter, setMaxListeners } from 'node:events'
import type { RankPolicy } from '../dylora/adapter.ts'
import type { Tokenizer } from '../dylora/tokenizer.ts'
import { DyloraError, errors } from '../errors.ts'
import { AdapterRegistry } from './adapter-registry.ts'
import {
  expectFit,
  expectRoom,
  expectSlots,
  expectTokenIds,
  expectTokenizable,
  type SlotLimits,
  shortened,
} from './admission.ts'
import { Batch } from './batch.ts'
import type { EngineEvents } from './engine-events.ts'
import { type Grammar, type GrammarSpec, Grammars } from './grammar/grammars.ts'
import { isComparable, isInShare, keyOf, type LiveSelection, rankCap } from './live-selection.ts'
import { devices, ModelHost, type ModelHostOptions } from './model-host.ts'
import { PrefixCache, type PrefixCacheStats } from './prefix-cache.ts'
import { resolveRank } from './rank-choice.ts'
import type { GenerateRequest, Generation, Served } from './request.ts'
import { type AdapterCard, Residency, type ResidencyStats, type Resident } from './residency.ts'
import type { BatchLimits } from './scheduler.ts'
import { clientOf, Sequence, type SequenceOptions } from './sequence.ts'

export interface EngineOptions extends Omit<ModelHostOptions, 'slots'> {
  readonly tokenizer: Tokenizer
  /** Rows of the batch: a request has one, or one for each of its beams or texts (16). */
  readonly maxBatchSize?: number
  /** Requests that may wait (128). */
  readonly maxWaiting?: number
  /** Prompt tokens that may wait (65,536). */
  readonly maxWaitingTokens?: number
  /** Prompt tokens in one prefill step (64). */
  readonly prefillChunk?: number
  /** Bytes for keys and values of prompts that may come again (0: none are kept); not on CUDA. */
  readonly prefixCacheBytes?: number
  /** Rows of all adapters in a batch (256). */
  readonly maxRankRows?: number
  /** Rows of the batch that requests of the background may have together; by default a quarter of it. */
  readonly maxBackgroundSlots?: number
  /** Bytes for the factors of adapters that can be loaded again; no bound by default. What is in use stays. */
  readonly adapterMemoryBytes?: number | undefined
  /** Used when it serves; otherwise the only adapter is. */
  readonly defaultAdapter?: string
  /** A request fails when it is not through after so long; no limit by default. */
  readonly requestTimeoutMs?: number
  /** What is said of the ranks of adapters, by name; comes before what they say themselves. */
  readonly policies?: Readonly<Record<string, RankPolicy>>
  /** `name@digest` by name: adapters that stay at one version. */
  readonly pins?: ReadonlyMap<string, string>
  /** Canary, cap under pressure and shadow evaluation; none by default. */
  readonly selection?: LiveSelection
}

export interface EngineStats {
  /** Live requests in the batch. */
  readonly running: number
  /** Live requests in the queue. */
  readonly waiting: number
  /** Requests of the background, in the batch or in the queue. */
  readonly background: number
  /** How often the model has run, for a step or a part of a prompt: it grows while there is work. */
  readonly runs: number
  /** Share of the cache that is taken. */
  readonly kvCacheUsage: number
  /** Null where no prompts are kept. */
  readonly prefixCache: PrefixCacheStats | null
  readonly residency: ResidencyStats
  /** Texts that follow a grammar. */
  readonly grammarTexts: number
  /** Adapters of running requests, each once. */
  readonly runningAdapters: readonly string[]
  readonly waitingAdapters: readonly string[]
}

export class Engine extends EventEmitter<EngineEvents> {
  readonly registry: AdapterRegistry
  readonly #options: EngineOptions
  readonly #limits: BatchLimits
  readonly #host: ModelHost
  readonly #batch: Batch
  readonly #prefixes: PrefixCache | null
  readonly #residency: Residency
  readonly #grammars: Grammars
  /** Work that needs the model to itself, done between steps. */
  readonly #tasks: (() => Promise<void>)[] = []
  #looping: Promise<void> | null = null
  #draining = false
  #closed = false

  private constructor(options: EngineOptions, limits: BatchLimits, host: ModelHost) {
    super()
    this.#options = options
    this.#limits = limits
    this.#host = host
    const { device, prefixCacheBytes: budgetBytes = 0 } = options
    const keeps = budgetBytes > 0 && devices[device].movesSlots
    this.#prefixes = keeps ? new PrefixCache({ cache: host.cache, budgetBytes }) : null
    this.#batch = new Batch({ host, limits, device, prefixes: this.#prefixes, events: this })
    this.#grammars = new Grammars({
      tokens: options.tokenizer.byteLevelTokens,
      vocabSize: options.base.config.vocabSize,
      eosTokenIds: options.base.eosTokenIds,
    })
    this.#residency = new Residency(options.adapterMemoryBytes ?? Number.POSITIVE_INFINITY)
    this.registry = new AdapterRegistry({
      baseName: options.base.name,
      preferred: options.defaultAdapter ?? null,
      policies: options.policies,
      pins: options.pins,
      residency: this.#residency,
      check: (adapter) => this.#exclusively(() => host.check(adapter)),
      events: this,
    })
  }

  /** Loads the model and tests that it runs. Throws `device_unavailable`, `base_model_invalid`. */
  static async create(options: EngineOptions): Promise<Engine> {
    const { maxBatchSize = 16, prefillChunk = 64, maxRankRows = 256 } = options
    const { maxBackgroundSlots = Math.ceil(maxBatchSize / 4) } = options
    const limits = {
      ...{ maxBatchSize, prefillChunk, maxRankRows },
      maxBackgroundSlots: Math.min(maxBackgroundSlots, maxBatchSize),
    }
    const host = await ModelHost.create({ ...options, slots: maxBatchSize })
    return new Engine(options, limits, host)
  }

  get tokenizer(): Tokenizer {
    return this.#options.tokenizer
  }

  get stats(): EngineStats {
    const [active, waiting] = [this.#batch.active.filter(isLive), this.#batch.waiting.filter(isLive)]
    const all = this.#batch.active
    const used = all.flatMap(({ rows }) => rows).reduce((sum, { cached }) => sum + cached, 0)
    const places = this.#host.cache.shape.capacity * this.#limits.maxBatchSize
    return {
      running: active.length,
      waiting: waiting.length,
      background: all.length - active.length + this.#batch.waiting.length - waiting.length,
      runs: this.#host.runs,
      kvCacheUsage: used / places,
      prefixCache: this.#prefixes?.stats ?? null,
      residency: this.#residency.stats,
      grammarTexts: this.#grammars.open,
      runningAdapters: adapterNames(active),
      waitingAdapters: adapterNames(waiting),
    }
  }

  /**
   * Takes a request, or throws at once: `adapter_not_found`, `rank_not_allowed`, `validation` when it cannot fit,
   * `overloaded` when the queue is full, `not_ready` when the engine is shutting down.
   */
  submit(request: GenerateRequest): Generation {
    try {
      return this.#enqueue(request)
    } catch (error) {
      const reason = error instanceof DyloraError ? error.code : 'internal'
      if (isLive(request)) this.emit('rejected', { reason })
      throw error
    }
  }

  /** A grammar for requests. Throws `validation` with the reason why it cannot be followed, `overloaded`. */
  prepareGrammar(spec: GrammarSpec): Promise<Grammar> {
    return this.#grammars.prepare(spec)
  }

  /** Which weights would answer this request? Throws what `submit` would, but for want of room. */
  check(request: GenerateRequest): Served {
    return this.#prepare(request).served
  }

  #enqueue(request: GenerateRequest): Generation {
    const arrivedAt = performance.now()
    this.#expectOpen(request)
    const { tokenizer, base } = this.#options
    const { eosTokenIds } = base
    const sequence = new Sequence({ ...this.#prepare(request), tokenizer, eosTokenIds, arrivedAt })
    const { rankRequested: requested, rank: chosen, rankReason: reason } = sequence.served
    if (isLive(request)) {
      this.emit('rankDecision', { requested, chosen, reason })
      this.#tellOfSelection(request, sequence)
    }
    this.#batch.add(sequence)
    this.#hold(sequence)
    this.#wakeOnAbort(request.signal, sequence)
    this.#wake()
    return sequence
  }

  /** The factors of its adapter stay until it is over, and are loaded where they are out of memory. */
  #hold(sequence: Sequence): void {
    const { adapter } = sequence.weights
    const loading = adapter && this.#residency.acquire(adapter)
    if (adapter !== null) {
      const release = () => this.#residency.release(adapter)
      sequence.result.then(release, release)
    }
    const missing = [loading, sequence.ready].filter((one) => one !== null)
    if (missing.length > 0) this.#await(sequence, Promise.all(missing))
  }

  /** The sequence is not admitted before that, and fails with it. */
  #await(sequence: Sequence, missing: Promise<unknown>): void {
    sequence.isLoading = true
    const limit = this.#requestTimeoutMs
    const timer = Number.isFinite(limit) ? setTimeout(() => this.#wake(), limit + 1) : undefined
    missing
      .catch((error: Error) => this.#batch.drop(sequence, error))
      .finally(() => {
        clearTimeout(timer)
        sequence.isLoading = false
        this.#wake()
      })
  }

  get #requestTimeoutMs(): number {
    return this.#options.requestTimeoutMs ?? Number.POSITIVE_INFINITY
  }

  #prepare(request: GenerateRequest): Pick<SequenceOptions, 'request' | 'served' | 'weights' | 'promptIds'> {
    expectSlots(request, this.#slotsFor(request))
    const asked = this.registry.resolve(request.adapterId)
    const canary = asked && isLive(request) ? this.#canaryFor(request, asked) : null
    const adapter = canary ?? asked
    const card = adapter?.card ?? null
    const served = this.#decideRank(request, card, canary === null ? null : (asked?.card.name ?? null))
    const promptIds = [...this.#promptIds(request, card), ...(request.scored ?? [])]
    const { positions } = this.#options.base.config
    const fitting = request.shortensToFit ? shortened(request, promptIds.length, positions) : request
    expectFit(promptIds.length, fitting, positions)
    return { request: fitting, served, weights: { adapter, rank: served.rank }, promptIds }
  }

  /** The canary of the adapter when it serves, this request is in its share, and its rank is one that it has; else null. */
  #canaryFor(request: GenerateRequest, { card: { name } }: Resident): Resident | null {
    const { canary } = this.#options.selection ?? {}
    if (canary?.adapter !== name || !isInShare('canary', keyOf(request), canary.share)) return null
    const adapter = this.registry.find(canary.canary)
    if (adapter === undefined) return null
    const hasRank =
      typeof request.rank !== 'number' || this.registry.allowedRanks(adapter.card.name).includes(request.rank)
    return hasRank ? adapter : null
  }

  #tellOfSelection(request: GenerateRequest, { served, result }: Generation): void {
    const { canary } = this.#options.selection ?? {}
    if (canary !== undefined && canary.adapter === (served.canaryOf ?? served.adapterId)) {
      const { adapter, canary: version } = canary
      this.emit('canaryDecision', { adapter, canary: version, chosen: served.canaryOf === null ? 'stable' : 'canary' })
    }
    if (served.shadow) {
      result.then(
        (answer) => this.emit('shadow', { request, result: answer }),
        () => {},
      )
    }
  }

  /** Many requests may share a signal, so none leaves its listener there. */
  #wakeOnAbort(signal: AbortSignal | undefined, { result }: Generation): void {
    if (signal === undefined) return
    const wake = () => this.#wake()
    setMaxListeners(0, signal)
    const forget = () => signal.removeEventListener('abort', wake)
    signal.addEventListener('abort', wake)
    result.then(forget, forget)
  }

  #slotsFor(request: GenerateRequest): SlotLimits {
    const { maxBatchSize, maxBackgroundSlots } = this.#limits
    return {
      maxBatchSize: isLive(request) ? maxBatchSize : maxBackgroundSlots,
      copiesSlots: devices[this.#options.device].movesSlots,
    }
  }

  /** Before anything is tokenized, so that turning a burst away costs nothing. */
  #expectOpen(request: GenerateRequest): void {
    if (this.#draining || this.#closed) throw errors.notReady('The server is shutting down')
    if (!isLive(request)) return
    const { maxWaiting = 128, maxWaitingTokens = 65_536 } = this.#options
    const client = clientOf(this.registry.resolve(request.adapterId)?.card.name ?? null)
    expectRoom(this.#batch.waiting.filter(isLive), client, { maxWaiting, maxWaitingTokens })
  }

  #decideRank(request: GenerateRequest, adapter: AdapterCard | null, canaryOf: string | null): Served {
    const { pressure, shadowShare = 0 } = this.#options.selection ?? {}
    const cap = isLive(request) ? rankCap(pressure, this.#batch.waiting.filter(isLive).length) : undefined
    const policy = this.registry.policyOf(adapter)
    const { rank, reason, requested } = resolveRank(adapter, request.rank, request.minQuality, { policy, cap })
    const highest = resolveRank(adapter, 'max', undefined, { policy }).rank
    const { maxRankRows } = this.#limits
    if (rank > maxRankRows) throw errors.rankNotAllowed(rank, [`up to ${maxRankRows}, the rank rows of a batch`])
    return {
      adapterId: adapter?.name ?? null,
      adapterDigest: adapter?.digest ?? null,
      rank,
      rankRequested: requested,
      rankReason: reason,
      canaryOf,
      shadow:
        isLive(request) && rank < highest && isComparable(request) && isInShare('shadow', keyOf(request), shadowShare),
    }
  }

  /** The adapter's prompt around the context; the bare base starts from its bos or eos token where there is nothing else. */
  #promptIds(request: GenerateRequest, adapter: AdapterCard | null): readonly number[] {
    const { base, tokenizer } = this.#options
    const { inputs, inputIds, truncate } = request
    if (inputIds !== undefined) expectTokenIds(inputIds, base.config.vocabSize)
    else expectTokenizable(request, tokenizer, base.config.positions)
    const all = inputIds ?? tokenizer.encode(inputs)
    const context = truncate === undefined ? all : all.slice(Math.max(0, all.length - truncate))
    const ids = adapter === null ? context : [...adapter.prompt.prefix, ...context, ...adapter.prompt.suffix]
    if (ids.length > 0) return ids
    const start = base.bosTokenId ?? base.eosTokenIds[0]
    if (start === undefined) throw errors.validation('inputs: expected at least one token', { pointer: '/inputs' })
    return [start]
  }

  #wake(): void {
    this.#looping ??= this.#loop().finally(() => {
      this.#looping = null
      if (this.#hasWork()) this.#wake()
    })
  }

  #hasWork(): boolean {
    return this.#tasks.length > 0 || this.#batch.hasWork
  }

  async #loop(): Promise<void> {
    // Requests that arrive in one turn of the event loop start together.
    await Promise.resolve()
    do {
      for (let task = this.#tasks.shift(); task !== undefined; task = this.#tasks.shift()) await task()
      this.#batch.dropDead(this.#requestTimeoutMs)
      await this.#batch.iterate()
      // Lets arrivals, disconnects and writes happen between steps.
      await new Promise((resolve) => setImmediate(resolve))
    } while (this.#hasWork())
  }

  /** Runs a task between two steps. */
  #exclusively(task: () => Promise<void>): Promise<void> {
    if (this.#closed) return Promise.reject(errors.notReady('The server is shutting down'))
    return new Promise((resolve, reject) => {
      this.#tasks.push(() => task().then(resolve, reject))
      this.#wake()
    })
  }

  /** Takes no more requests and waits for those that are there. */
  async drain(): Promise<void> {
    this.#draining = true
    while (this.#looping !== null || !this.#batch.isEmpty) {
      // Requests that wait for factors keep no loop going.
      await (this.#looping ?? Promise.allSettled(this.#batch.waiting.map(({ result }) => result)))
    }
  }

  /** Fails what is left and frees everything. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    for (const sequence of [...this.#batch.waiting, ...this.#batch.active]) {
      this.#batch.drop(sequence, errors.notReady('The server is shutting down'))
    }
    await this.drain()
    await this.#grammars.close()
    this.#host.close()
  }
}

const isLive = ({ priority = 'live' }: Pick<GenerateRequest, 'priority'>): boolean => priority === 'live'

function adapterNames(sequences: readonly Sequence[]): string[] {
  return [...new Set(sequences.flatMap(({ served }) => served.adapterId ?? []))]
}
