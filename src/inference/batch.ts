/** The requests in the engine: who waits, who is in prefill, who runs; and one iteration of their common work. */
import type { EventEmitter } from 'node:events'
import { DyloraError, errors } from '../errors.ts'
import type { EngineEvents } from './engine-events.ts'
import { rowsOf } from './lora-packing.ts'
import { type Device, devices, type ModelHost } from './model-host.ts'
import type { FinishReason } from './request.ts'
import { logprobsAt, topTokens } from './sampling.ts'
import { type BatchLimits, plan } from './scheduler.ts'
import type { Sequence } from './sequence.ts'
import { Slots } from './slots.ts'
import type { StepRow } from './step-runner.ts'

export interface BatchOptions {
  readonly host: ModelHost
  readonly device: Device
  readonly limits: BatchLimits
  readonly events: Pick<EventEmitter<EngineEvents>, 'emit'>
}

export class Batch {
  readonly waiting: Sequence[] = []
  #prefilling: Sequence | null = null
  readonly #slots: Slots<Sequence>
  readonly #options: BatchOptions

  constructor(options: BatchOptions) {
    const { host, device, limits } = options
    const move = (from: number, to: number, { cached }: Sequence) => host.cache.copySlot(from, to, cached)
    this.#options = options
    this.#slots = new Slots(limits.maxBatchSize, devices[device].movesSlots ? move : null)
  }

  /** The requests that hold a slot. */
  get active(): Sequence[] {
    return [...this.#slots.items(), ...(this.#prefilling ? [this.#prefilling] : [])]
  }

  get isEmpty(): boolean {
    return this.waiting.length === 0 && this.active.length === 0
  }

  /** Decides (see `plan`), then acts. */
  async iterate(): Promise<void> {
    const rows = ({ weights }: Sequence) => rowsOf(weights)
    const state = {
      waiting: this.waiting.map(rows),
      running: this.#slots.items().map(rows),
      prefilling: this.#prefilling,
    }
    const { admit, prefillTokens, decode } = plan(state, this.#options.limits, this.waiting[0]?.promptTokens ?? 0)
    if (admit) this.#admit()
    const prefilling = this.#prefilling
    if (prefilling !== null) await this.#guarded([prefilling], () => this.#prefill(prefilling, prefillTokens))
    if (decode) await this.#guarded(this.#slots.items(), () => this.#decode())
  }

  #admit(): void {
    const sequence = this.waiting.shift()
    if (sequence === undefined) return
    sequence.start(performance.now())
    sequence.slot = this.#slots.reserve()
    this.#prefilling = sequence
  }

  /** A chunk of the prompt; with the last chunk comes the first token. */
  async #prefill(sequence: Sequence, tokens: number): Promise<void> {
    const { host } = this.#options
    const { promptIds, cached, slot, weights, request } = sequence
    const ids = promptIds.slice(cached, cached + tokens)
    const select = request.prefillDetails ? ids.map((_, i) => i) : [ids.length - 1]
    const logits = await host.run({ firstSlot: slot, rows: [{ ids, cached, weights }], select })
    sequence.cached += ids.length
    if (request.prefillDetails) this.#reportPrefill(sequence, ids, logits)
    if (sequence.cached < promptIds.length) return
    this.#prefilling = null
    sequence.slot = this.#slots.activate(sequence.slot, sequence)
    this.#advance(sequence, host.row(logits, select.length - 1))
    this.#releaseSettled([sequence])
  }

  /** Row i of a chunk's logits predicts token i + 1. */
  #reportPrefill(sequence: Sequence, ids: readonly number[], logits: Float32Array): void {
    const first = sequence.cached - ids.length
    if (first === 0) sequence.addPrefill(ids[0] as number, null)
    for (let i = 0; i < ids.length; i++) {
      const next = sequence.promptIds[first + i + 1]
      if (next === undefined) return
      sequence.addPrefill(next, logprobsAt(this.#options.host.row(logits, i), [next])[0] ?? null)
    }
  }

  /** A token for every running request. Slots between them that are free or in prefill go along idle. */
  async #decode(): Promise<void> {
    const { host, events } = this.#options
    const started = performance.now()
    const rows = this.#slots.span().map((sequence, slot) => (sequence ? decodeRow(sequence) : this.#idleRow(slot)))
    const logits = await host.run({ firstSlot: 0, rows, select: rows.map((_, i) => i) })
    const batch = this.#slots.items()
    for (const sequence of batch) {
      sequence.cached += 1
      this.#advance(sequence, host.row(logits, sequence.slot))
    }
    const distinctRanks = new Set(batch.map(({ weights }) => weights.rank)).size
    events.emit('step', { batchSize: batch.length, distinctRanks, durationMs: performance.now() - started })
    this.#releaseSettled(batch)
  }

  /** Writes behind what the slot holds, where the next chunk overwrites it. */
  #idleRow(slot: number): StepRow {
    const cached = this.#prefilling?.slot === slot ? this.#prefilling.cached : 0
    return { ids: [0], cached, weights: { adapter: null, rank: 0 } }
  }

  /** Samples, publishes, and settles the request when that was its last token. Its own failure is its alone. */
  #advance(sequence: Sequence, logits: Float32Array): void {
    const { events } = this.#options
    const now = performance.now()
    const { adapterId, rank } = sequence.served
    const before = sequence.lastTokenAt
    const { topNTokens } = sequence.request
    try {
      const reason = sequence.advance(logits, topNTokens ? topTokens(logits, topNTokens) : [], now)
      if (before === null) events.emit('firstToken', { adapterId, rank, ms: now - sequence.arrivedAt })
      else events.emit('interToken', { adapterId, rank, ms: now - before })
      if (reason !== null) this.#finish(sequence, reason, now)
    } catch (error) {
      this.#fail(sequence, error)
    }
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
    const timings = sequence.timings(now)
    this.#options.events.emit('finished', { served, outcome, finishReason, promptTokens, generatedTokens, timings })
  }

  #releaseSettled(sequences: readonly Sequence[]): void {
    for (const sequence of sequences) if (sequence.isSettled) this.#release(sequence)
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
      for (const sequence of concerned) this.drop(sequence, failure)
    }
  }

  /** Requests whose caller has gone, or whose time is up. */
  dropDead(timeoutMs: number): void {
    const now = performance.now()
    for (const sequence of [...this.waiting, ...this.active]) {
      if (sequence.request.signal?.aborted) this.drop(sequence, errors.cancelled('The client has gone'))
      else if (now - sequence.arrivedAt > timeoutMs) {
        this.drop(sequence, errors.generation(`The request took longer than ${timeoutMs} ms`))
      }
    }
  }

  /** Fails a request and frees its place. */
  drop(sequence: Sequence, error: Error): void {
    this.#fail(sequence, error)
    const waiting = this.waiting.indexOf(sequence)
    if (waiting >= 0) this.waiting.splice(waiting, 1)
    else {
      if (this.#prefilling === sequence) this.#prefilling = null
      this.#release(sequence)
    }
  }
}

function decodeRow({ nextInput, cached, weights }: Sequence): StepRow {
  return { ids: [nextInput], cached, weights }
}
