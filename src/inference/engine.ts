/**
 * From requests to results. One loop owns the cache and the queue; each iteration admits, prefills a chunk, decodes a
 * token for every running request, samples and publishes. Requests of all adapters and ranks share the batch.
 */
import { EventEmitter } from 'node:events'
import { type Adapter, type TargetModule, targetModules } from '../dylora/adapter.ts'
import { checkAgainstBase } from '../dylora/adapter-directory.ts'
import type { BaseModel } from '../dylora/base-model.ts'
import type { Tokenizer } from '../dylora/tokenizer.ts'
import { DyloraError, errors } from '../errors.ts'
import { NativeRuntime } from '../onnx/native/runtime.ts'
import type { NativeSessionOptions } from '../onnx/native/session-options.ts'
import { AdapterRegistry } from './adapter-registry.ts'
import { expectFit, expectRoom } from './admission.ts'
import type { EngineEvents } from './engine-events.ts'
import type { KvCache } from './kv-cache.ts'
import { rowsOf } from './lora-packing.ts'
import { resolveRank } from './rank-choice.ts'
import type { FinishReason, GenerateRequest, Generation, Served } from './request.ts'
import { logprobsAt, topTokens } from './sampling.ts'
import { type BatchLimits, plan } from './scheduler.ts'
import { Sequence } from './sequence.ts'
import { Slots } from './slots.ts'
import { type StepRow, StepRunner } from './step-runner.ts'

export interface EngineOptions {
  readonly base: BaseModel
  readonly tokenizer: Tokenizer
  readonly device: 'cpu' | 'cuda'
  readonly deviceId?: number
  readonly gpuMemLimitBytes?: number
  readonly intraOpNumThreads?: number
  /** Requests in the batch at once (16). */
  readonly maxBatchSize?: number
  /** Requests that may wait (128). */
  readonly maxWaiting?: number
  /** Prompt tokens that may wait (65,536). */
  readonly maxWaitingTokens?: number
  /** Prompt tokens in one prefill step (64). */
  readonly prefillChunk?: number
  /** Rows of all adapters in a batch (256). */
  readonly maxRankRows?: number
  /** Used when it serves; otherwise the only adapter is. */
  readonly defaultAdapter?: string
  /** A request fails when it is not through after so long; no limit by default. */
  readonly requestTimeoutMs?: number
}

/** What differs between devices, in one place. */
const devices = {
  // Adapters bring their modules when they come; float32 is exact.
  cpu: { cacheDtype: 'float32', modules: [] as TargetModule[], compacts: true },
  // The attention kernel has no float32. Memory belongs to the session, so one session takes every module from the start.
  cuda: { cacheDtype: 'float16', modules: [...targetModules], compacts: false },
} as const

interface EngineParts {
  readonly runtime: NativeRuntime
  readonly runner: StepRunner
  readonly session: Omit<NativeSessionOptions, 'externalDataDirectory'>
  readonly limits: BatchLimits
}

export class Engine extends EventEmitter<EngineEvents> {
  readonly registry: AdapterRegistry
  readonly #options: EngineOptions
  readonly #parts: EngineParts
  readonly #cache: KvCache
  #runner: StepRunner
  readonly #waiting: Sequence[] = []
  #prefilling: Sequence | null = null
  /** The running requests, in their slots. */
  readonly #slots: Slots<Sequence>
  /** Work that needs the session to itself, done between steps. */
  readonly #tasks: (() => Promise<void>)[] = []
  #looping: Promise<void> | null = null
  #draining = false
  #closed = false

  private constructor(options: EngineOptions, parts: EngineParts) {
    super()
    const { maxBatchSize } = parts.limits
    this.#options = options
    this.#parts = parts
    this.#runner = parts.runner
    // One slot more, for dry runs.
    this.#cache = parts.runner.newCache(maxBatchSize + 1, options.base.config.positions)
    const compacts = devices[options.device].compacts
    this.#slots = new Slots(
      maxBatchSize,
      compacts ? (from, to, { cached }) => this.#cache.copySlot(from, to, cached) : null,
    )
    this.registry = new AdapterRegistry({
      preferred: options.defaultAdapter ?? null,
      check: (adapter) => this.#exclusively(() => this.#check(adapter)),
      events: this,
    })
  }

  /** Loads the model and proves that it runs and that the cache is written in place. Throws `device_unavailable`. */
  static async create(options: EngineOptions): Promise<Engine> {
    const { device, base, maxBatchSize = 16, prefillChunk = 64, maxRankRows = 256 } = options
    const runtime = NativeRuntime.open()
    const session = {
      provider: device,
      ...(options.deviceId !== undefined && { deviceId: options.deviceId }),
      ...(options.gpuMemLimitBytes !== undefined && { gpuMemLimitBytes: options.gpuMemLimitBytes }),
      ...(options.intraOpNumThreads !== undefined && { intraOpNumThreads: options.intraOpNumThreads }),
    }
    const { cacheDtype, modules } = devices[device]
    const runner = await StepRunner.create({ runtime, base, session, targetModules: modules, cacheDtype })
    const limits = { maxBatchSize, prefillChunk, maxRankRows }
    const engine = new Engine(options, { runtime, runner, session, limits })
    await engine.#selfTest()
    return engine
  }

  get stats(): { running: number; waiting: number; kvCacheUsage: number } {
    const active = [...this.#slots.items(), ...(this.#prefilling ? [this.#prefilling] : [])]
    const used = active.reduce((sum, { cached }) => sum + cached, 0)
    const { capacity } = this.#cache.shape
    return {
      running: active.length,
      waiting: this.#waiting.length,
      kvCacheUsage: used / (capacity * this.#parts.limits.maxBatchSize),
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
      this.emit('rejected', { reason: error instanceof DyloraError ? error.code : 'internal' })
      throw error
    }
  }

  #enqueue(request: GenerateRequest): Generation {
    if (this.#draining || this.#closed) throw errors.notReady('The server is shutting down')
    const { maxWaiting = 128, maxWaitingTokens = 65_536, tokenizer, base } = this.#options
    const arrivedAt = performance.now()
    const waitingTokens = this.#waiting.reduce((sum, { promptTokens }) => sum + promptTokens, 0)
    expectRoom(this.#waiting.length, waitingTokens, { maxWaiting, maxWaitingTokens })
    const adapter = this.registry.resolve(request.adapterId)
    const { rank, reason, requested } = resolveRank(adapter, request.rank, request.minQuality)
    if (adapter !== null && rank > this.#parts.limits.maxRankRows) {
      throw errors.rankNotAllowed(rank, [`up to ${this.#parts.limits.maxRankRows}, the rank rows of a batch`])
    }
    const promptIds = this.#promptIds(request, adapter)
    expectFit(promptIds.length, request, base.config.positions)
    this.emit('rankDecision', { requested, chosen: rank, reason })
    const served: Served = {
      adapterId: adapter?.name ?? null,
      adapterDigest: adapter?.digest ?? null,
      rank,
      rankRequested: requested,
      rankReason: reason,
    }
    const { eosTokenIds } = base
    const sequence = new Sequence({
      request,
      served,
      weights: { adapter, rank },
      promptIds,
      tokenizer,
      eosTokenIds,
      arrivedAt,
    })
    this.#waiting.push(sequence)
    request.signal?.addEventListener('abort', () => this.#wake(), { once: true })
    this.#wake()
    return sequence
  }

  /** The adapter's prompt around the context; the bare base starts from its bos or eos token where there is nothing else. */
  #promptIds({ inputs, truncate }: GenerateRequest, adapter: Adapter | null): number[] {
    const { base, tokenizer } = this.#options
    const all = tokenizer.encode(inputs)
    const context = truncate === undefined ? all : all.slice(Math.max(0, all.length - truncate))
    const ids = adapter === null ? context : [...adapter.prompt.prefix, ...context, ...adapter.prompt.suffix]
    const start = base.bosTokenId ?? base.eosTokenIds[0]
    if (ids.length === 0 && start === undefined)
      throw errors.validation('inputs: expected at least one token', { pointer: '/inputs' })
    return ids.length === 0 ? [start as number] : ids
  }

  #wake(): void {
    if (this.#looping !== null) return
    this.#looping = this.#loop().finally(() => {
      this.#looping = null
      if (this.#hasWork()) this.#wake()
    })
  }

  #hasWork(): boolean {
    return this.#tasks.length > 0 || this.#waiting.length > 0 || this.#prefilling !== null || this.#slots.count > 0
  }

  async #loop(): Promise<void> {
    // Requests that arrive in one turn of the event loop start together.
    await Promise.resolve()
    while (this.#hasWork()) {
      for (let task = this.#tasks.shift(); task !== undefined; task = this.#tasks.shift()) await task()
      this.#dropDead()
      await this.#iterate()
      // Lets arrivals, disconnects and writes happen between steps.
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** Decides, then acts: see `plan`. */
  async #iterate(): Promise<void> {
    const [oldest] = this.#waiting
    const rows = ({ weights }: Sequence) => rowsOf(weights)
    const state = {
      waiting: this.#waiting.map(rows),
      running: this.#slots.items().map(rows),
      prefilling: this.#prefilling,
    }
    const { admit, prefillTokens, decode } = plan(state, this.#parts.limits, oldest?.promptTokens ?? 0)
    if (admit) this.#admit()
    if (this.#prefilling !== null && prefillTokens > 0)
      await this.#guarded([this.#prefilling], () => this.#prefill(prefillTokens))
    if (decode) await this.#guarded(this.#slots.items(), () => this.#decode())
  }

  #admit(): void {
    const sequence = this.#waiting.shift()
    if (sequence === undefined) return
    sequence.start(performance.now())
    sequence.slot = this.#slots.reserve()
    this.#prefilling = sequence
  }

  /** A chunk of the prompt of the request in prefill; with the last chunk comes its first token. */
  async #prefill(tokens: number): Promise<void> {
    const sequence = this.#prefilling as Sequence
    const { promptIds, cached, slot, weights, request } = sequence
    const ids = promptIds.slice(cached, cached + tokens)
    const isLast = cached + ids.length === promptIds.length
    const select = request.prefillDetails ? ids.map((_, i) => i) : [ids.length - 1]
    const logits = await this.#runner.run(this.#cache, { firstSlot: slot, rows: [{ ids, cached, weights }], select })
    sequence.cached += ids.length
    if (request.prefillDetails) this.#reportPrefill(sequence, ids, logits)
    if (!isLast || sequence.isSettled) return
    this.#prefilling = null
    sequence.slot = this.#slots.activate(sequence.slot, sequence)
    this.#advance(sequence, this.#row(logits, select.length - 1))
  }

  /** Row i of a chunk's logits predicts token i + 1. */
  #reportPrefill(sequence: Sequence, ids: readonly number[], logits: Float32Array): void {
    const first = sequence.cached - ids.length
    if (first === 0) sequence.addPrefill(ids[0] as number, null)
    for (let i = 0; i < ids.length; i++) {
      const next = sequence.promptIds[first + i + 1]
      if (next !== undefined) sequence.addPrefill(next, logprobsAt(this.#row(logits, i), [next])[0] ?? null)
    }
  }

  #row(logits: Float32Array, row: number): Float32Array {
    const { vocabSize } = this.#runner.graph
    return logits.subarray(row * vocabSize, (row + 1) * vocabSize)
  }

  /** A token for every running request. Slots that are free or in prefill go along as idle rows where there are any. */
  async #decode(): Promise<void> {
    const started = performance.now()
    const rows = this.#slots.span().map((sequence, slot) => (sequence ? decodeRow(sequence) : this.#idleRow(slot)))
    const logits = await this.#runner.run(this.#cache, { firstSlot: 0, rows, select: rows.map((_, i) => i) })
    const batch = this.#slots.items()
    for (const sequence of batch) {
      sequence.cached += 1
      if (!sequence.isSettled) this.#advance(sequence, this.#row(logits, sequence.slot), false)
    }
    const distinctRanks = new Set(batch.map(({ weights }) => weights.rank)).size
    this.emit('step', { batchSize: batch.length, distinctRanks, durationMs: performance.now() - started })
    for (const sequence of batch) if (sequence.isSettled) this.#release(sequence)
  }

  /** Writes behind what the slot holds, where the next chunk overwrites it. */
  #idleRow(slot: number): StepRow {
    const cached = this.#prefilling?.slot === slot ? this.#prefilling.cached : 0
    return { ids: [0], cached, weights: { adapter: null, rank: 0 } }
  }

  /** Samples, publishes, and settles the request when that was its last token. */
  #advance(sequence: Sequence, logits: Float32Array, release = true): void {
    const now = performance.now()
    const { adapterId, rank } = sequence.served
    const before = sequence.lastTokenAt
    try {
      const top = sequence.request.topNTokens ? topTokens(logits, sequence.request.topNTokens) : []
      const reason = sequence.advance(logits, top, now)
      if (before === null) this.emit('firstToken', { adapterId, rank, ms: now - sequence.arrivedAt })
      else this.emit('interToken', { adapterId, rank, ms: now - before })
      if (reason !== null) this.#finish(sequence, reason, now)
    } catch (error) {
      this.#fail(sequence, error)
    }
    if (release && sequence.isSettled) this.#release(sequence)
  }

  #finish(sequence: Sequence, finishReason: FinishReason, now: number): void {
    sequence.finish(finishReason, now)
    this.#report(sequence, 'success', finishReason, now)
  }

  #fail(sequence: Sequence, error: unknown): void {
    if (sequence.isSettled) return
    sequence.fail(error)
    this.#report(sequence, error instanceof DyloraError ? error.code : 'internal', null, performance.now())
  }

  #report(sequence: Sequence, outcome: string, finishReason: FinishReason | null, now: number): void {
    const { served, promptTokens, generatedTokens } = sequence
    this.emit('finished', {
      served,
      outcome,
      finishReason,
      promptTokens,
      generatedTokens,
      timings: sequence.timings(now),
    })
  }

  #release(sequence: Sequence): void {
    const moved = this.#slots.release(sequence.slot)
    if (moved !== null) moved.item.slot = moved.slot
  }

  /** A failing run fails the requests that it was for, and nobody else. */
  async #guarded(concerned: readonly Sequence[], run: () => Promise<void>): Promise<void> {
    try {
      await run()
    } catch (error) {
      const failure =
        error instanceof DyloraError ? error : errors.generation('The model failed to run', { cause: error })
      for (const sequence of concerned) this.#drop(sequence, failure)
    }
  }

  /** Requests whose caller has gone, or whose time is up. */
  #dropDead(): void {
    const { requestTimeoutMs = Number.POSITIVE_INFINITY } = this.#options
    const now = performance.now()
    for (const sequence of [
      ...this.#waiting,
      ...(this.#prefilling ? [this.#prefilling] : []),
      ...this.#slots.items(),
    ]) {
      if (sequence.request.signal?.aborted) this.#drop(sequence, errors.cancelled('The client has gone'))
      else if (now - sequence.arrivedAt > requestTimeoutMs) {
        this.#drop(sequence, errors.generation(`The request took longer than ${requestTimeoutMs} ms`))
      }
    }
  }

  #drop(sequence: Sequence, error: Error): void {
    this.#fail(sequence, error)
    const waiting = this.#waiting.indexOf(sequence)
    if (waiting >= 0) this.#waiting.splice(waiting, 1)
    else {
      if (this.#prefilling === sequence) this.#prefilling = null
      this.#release(sequence)
    }
  }

  /** Runs a task between two steps. */
  #exclusively(task: () => Promise<void>): Promise<void> {
    if (this.#closed) return Promise.reject(errors.notReady('The server is shutting down'))
    return new Promise((resolve, reject) => {
      this.#tasks.push(() => task().then(resolve, reject))
      this.#wake()
    })
  }

  /** Does the adapter fit the base, and give finite logits at every rank? */
  async #check(adapter: Adapter): Promise<void> {
    checkAgainstBase(adapter, this.#options.base)
    const missing = adapter.targetModules.filter((module) => !this.#runner.targetModules.has(module))
    const current = this.#runner
    if (missing.length > 0) this.#runner = await this.#runnerWith([...current.targetModules, ...missing])
    try {
      for (const rank of adapter.ranks) await this.#dryRun(adapter, rank)
    } catch (error) {
      if (this.#runner !== current) this.#runner.close()
      this.#runner = current
      throw error
    }
    if (this.#runner !== current) current.close()
  }

  #runnerWith(modules: readonly TargetModule[]): Promise<StepRunner> {
    const { runtime, session } = this.#parts
    const { cacheDtype } = devices[this.#options.device]
    return StepRunner.create({ runtime, base: this.#options.base, session, targetModules: modules, cacheDtype })
  }

  async #dryRun(adapter: Adapter | null, rank: number): Promise<void> {
    const { eosTokenIds, bosTokenId } = this.#options.base
    const ids = [bosTokenId ?? eosTokenIds[0] ?? 0, 0]
    const row = { ids, cached: 0, weights: { adapter, rank } }
    const logits = await this.#runner.run(this.#cache, {
      firstSlot: this.#parts.limits.maxBatchSize,
      rows: [row],
      select: [1],
    })
    if (!logits.every(Number.isFinite)) {
      const reason = `its dry run at rank ${rank} gave logits that are not finite`
      throw adapter === null
        ? errors.baseModelInvalid(this.#options.base.directory, reason)
        : errors.adapterInvalid(adapter.name, reason)
    }
  }

  /** A run of the bare base; on the host it must have written to the cache that we hold. */
  async #selfTest(): Promise<void> {
    await this.#dryRun(null, 0)
    const [key] = this.#cache.slots(this.#parts.limits.maxBatchSize, 1)[0] ?? []
    if (key?.where === 'host' && !key.data.some((value) => value !== 0)) {
      throw errors.deviceUnavailable(this.#options.device, 'the runtime does not write the cache in place')
    }
  }

  /** Takes no more requests and waits for those that are there. */
  async drain(): Promise<void> {
    this.#draining = true
    while (this.#looping !== null) await this.#looping
  }

  /** Fails what is left and frees everything. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    for (const sequence of [
      ...this.#waiting,
      ...(this.#prefilling ? [this.#prefilling] : []),
      ...this.#slots.items(),
    ]) {
      this.#drop(sequence, errors.notReady('The server is shutting down'))
    }
    await this.drain()
    this.#runner.close()
    this.#cache.close()
  }
}

function decodeRow({ nextInput, cached, weights }: Sequence): StepRow {
  return { ids: [nextInput], cached, weights }
}
