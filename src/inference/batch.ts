/** The requests in the engine: who waits, who is in prefill, who runs; and one iteration of their common work. */
import type { EventEmitter } from 'node:events'
import { DyloraError, errors } from '../errors.ts'
import type { Branch } from './decoder.ts'
import type { EngineEvents } from './engine-events.ts'
import { FairShare, tokenCosts } from './fair-share.ts'
import { type Logits, logprobsAt, topTokens } from './logits.ts'
import { rowsOf } from './lora-packing.ts'
import { type Device, devices, type ModelHost } from './model-host.ts'
import type { PrefixCache } from './prefix-cache.ts'
import type { FinishReason } from './request.ts'
import { type Row, Rows } from './rows.ts'
import { type BatchLimits, type Plan, plan } from './scheduler.ts'
import type { Sequence } from './sequence.ts'
import type { StepOutput, StepRow } from './step-runner.ts'

export interface BatchOptions {
  readonly host: ModelHost
  readonly device: Device
  readonly limits: BatchLimits
  /** Null where nothing is kept, or the cache cannot be copied. */
  readonly prefixes: PrefixCache | null
  readonly events: Pick<EventEmitter<EngineEvents>, 'emit'>
}

export class Batch {
  readonly waiting: Sequence[] = []
  #prefilling: Sequence | null = null
  #running: readonly Sequence[] = []
  readonly #rows: Rows<Sequence>
  readonly #share = new FairShare()
  readonly #options: BatchOptions

  constructor(options: BatchOptions) {
    const { host, device, limits } = options
    this.#options = options
    this.#rows = new Rows(host.cache, limits.maxBatchSize, devices[device].movesSlots)
  }

  /** The requests that hold slots. */
  get active(): Sequence[] {
    return [...this.#running, ...(this.#prefilling ? [this.#prefilling] : [])]
  }

  get isEmpty(): boolean {
    return this.waiting.length === 0 && this.active.length === 0
  }

  /** Is there anything to do before a load ends or a request comes? */
  get hasWork(): boolean {
    return this.active.length > 0 || this.waiting.some(isReady)
  }

  /** In the order of arrival, live requests before the background. */
  add(sequence: Sequence): void {
    const isLive = !isBackground(sequence)
    if (isLive) this.#share.arrive(sequence.client)
    this.waiting.splice(isLive ? this.#firstOfBackground : this.waiting.length, 0, sequence)
  }

  /** Of live requests the one whose adapter has had least; the background is first come, first served. */
  #next(): Sequence | undefined {
    const live = this.waiting.slice(0, this.#firstOfBackground).filter(isReady)
    return live[this.#share.next(live.map(({ client }) => client))] ?? this.waiting.filter(isBackground).find(isReady)
  }

  get #firstOfBackground(): number {
    const at = this.waiting.findIndex(isBackground)
    return at < 0 ? this.waiting.length : at
  }

  /** Decides (see `plan`), then acts. */
  async iterate(): Promise<void> {
    const next = this.#next()
    const { evict, admit, prefillTokens, decode } = this.#plan(next)
    if (evict > 0) this.#evict(evict)
    if (admit && next !== undefined) this.#admit(next)
    const prefilling = this.#prefilling
    if (prefilling !== null) await this.#guarded([prefilling], () => this.#prefill(prefilling, prefillTokens))
    if (decode) await this.#guarded(this.#running, () => this.#decode(this.#running))
  }

  #plan(next: Sequence | undefined): Plan {
    const prefilling = this.#prefilling
    const state = {
      next: next === undefined ? null : loadOf(next),
      // Rows never become more: the slots of texts that have ended are free.
      running: this.#running.map(({ weights, rows, priority }) => ({
        ...rowsOf(weights),
        slots: rows.length,
        priority,
      })),
      prefilling: prefilling && {
        promptTokens: prefilling.promptTokens,
        cached: cached(prefilling),
        priority: prefilling.priority,
      },
    }
    return plan(state, this.#options.limits)
  }

  /** The latest of the background go back to where they waited, and start again from there. */
  #evict(count: number): void {
    const evicted = this.active.filter(isBackground).slice(-count)
    for (const sequence of evicted) {
      this.#release(sequence)
      sequence.restart()
    }
    this.waiting.splice(this.#firstOfBackground, 0, ...evicted)
  }

  #admit(sequence: Sequence): void {
    this.waiting.splice(this.waiting.indexOf(sequence), 1)
    sequence.start(performance.now())
    const row = this.#rows.reserve(sequence)
    row.cached = this.#restore(sequence, row.slot)
    sequence.rows = [row]
    this.#prefilling = sequence
  }

  /** Takes over what is known of the prompt, unless its logits are asked for. Gives the number of tokens. */
  #restore(sequence: Sequence, slot: number): number {
    const { promptIds, weights } = sequence
    if (isBackground(sequence) || sequence.tellsPrompt) return 0
    sequence.cachedTokens = this.#options.prefixes?.restore(weights, promptIds, slot) ?? 0
    return sequence.cachedTokens
  }

  /** The background is not asked twice. */
  #keep(sequence: Sequence, { slot, cached, generated }: Row<Sequence>): void {
    if (isBackground(sequence)) return
    const ids = [...sequence.promptIds, ...generated].slice(0, cached)
    this.#options.prefixes?.keep(sequence.weights, ids, slot)
  }

  /** A chunk of the prompt; with the last chunk comes the first token. */
  async #prefill(sequence: Sequence, tokens: number): Promise<void> {
    const { host } = this.#options
    const { promptIds, weights } = sequence
    const row = sequence.rows[0] as Row<Sequence>
    const ids = promptIds.slice(row.cached, row.cached + tokens)
    const tells = sequence.tellsPrompt
    const select = tells ? ids.map((_, i) => i) : [ids.length - 1]
    const output = await host.run({
      firstSlot: row.slot,
      rows: [{ ids, cached: row.cached, weights }],
      select,
      wantsLogits: this.#wantLogits([sequence]),
    })
    if (tells) this.#reportPrefill(sequence, row.cached, ids, output)
    row.cached += ids.length
    this.#keep(sequence, row)
    this.#charge(sequence, ids.length * tokenCosts.prompt)
    if (row.cached < promptIds.length) return
    await sequence.ready
    if (sequence.isSettled) return
    this.#prefilling = null
    this.#rows.activate(row)
    this.#running = [...this.#running, sequence]
    this.#advance(sequence, [host.row(output, select.length - 1)])
  }

  #wantLogits(sequences: readonly Sequence[]): boolean {
    const { likeliestTokens } = this.#options.host
    return sequences.some((sequence) => sequence.wantsLogits(likeliestTokens))
  }

  /** Row i of a chunk's output predicts token i + 1. */
  #reportPrefill(sequence: Sequence, first: number, ids: readonly number[], output: StepOutput): void {
    const { request } = sequence
    if (first === 0) sequence.addPrefill(ids[0] as number, null)
    for (let i = 0; i < ids.length; i++) {
      const next = sequence.promptIds[first + i + 1]
      if (next === undefined) return
      const row = this.#options.host.row(output, i)
      const top = topTokens(row, request.prefillDetails ? (request.topNTokens ?? 0) : 0)
      sequence.addPrefill(next, logprobsAt(row, [next])[0] ?? null, row.likeliest[0] === next, top)
    }
  }

  /** A token for every row of the running requests. Slots between them that are free or in prefill go along idle. */
  async #decode(batch: readonly Sequence[]): Promise<void> {
    const { host, events } = this.#options
    const started = performance.now()
    const rows = this.#rows.span().map((row, slot) => (row ? decodeRow(row) : this.#idleRow(slot)))
    const wantsLogits = this.#wantLogits(batch)
    const output = await host.run({ firstSlot: 0, rows, select: rows.map((_, i) => i), wantsLogits })
    for (const row of this.#rows.items()) row.cached += 1
    for (const sequence of batch) this.#charge(sequence, sequence.rows.length * tokenCosts.generated)
    // By slot, before a request's end or branches move the rows of others.
    const ofEach = batch.map((sequence) => sequence.rows.map(({ slot }) => host.row(output, slot)))
    const batchSize = this.#rows.items().length
    await this.#untilReady(batch)
    for (const [i, sequence] of batch.entries()) if (!sequence.isSettled) this.#advance(sequence, ofEach[i] ?? [])
    const distinctRanks = new Set(batch.map(({ weights }) => weights.rank)).size
    events.emit('step', { batchSize, distinctRanks, durationMs: performance.now() - started })
  }

  /** What follows a grammar was asked for when the last token was chosen, so there is mostly nothing left to wait for. */
  async #untilReady(batch: readonly Sequence[]): Promise<void> {
    const waits = batch.flatMap((sequence) => {
      const { ready } = sequence
      return ready === null ? [] : [ready.catch((error: Error) => this.drop(sequence, error))]
    })
    if (waits.length > 0) await Promise.all(waits)
  }

  /** What the background computes is in nobody's share. */
  #charge(sequence: Sequence, cost: number): void {
    if (isBackground(sequence)) return
    const busy = [...this.waiting, ...this.active].filter((one) => !isBackground(one))
    this.#share.charge(sequence.client, cost, new Set(busy.map(({ client }) => client)).size)
  }

  /** Writes behind what the slot holds, where the next chunk overwrites it. */
  #idleRow(slot: number): StepRow {
    const [row] = this.#prefilling?.rows ?? []
    return { ids: [0], cached: row?.slot === slot ? row.cached : 0, weights: { adapter: null, rank: 0 } }
  }

  /** Decodes, publishes, and settles the request when it is over. Its own failure is its alone. */
  #advance(sequence: Sequence, logits: readonly Logits[]): void {
    const before = sequence.lastTokenAt
    const now = performance.now()
    let branches: readonly Branch[] = []
    try {
      branches = sequence.advance(logits, now)
      this.#reportToken(sequence, before, now)
      if (branches.length === 0) this.#finish(sequence, now)
    } catch (error) {
      this.#fail(sequence, error)
    }
    sequence.rows = this.#rows.branch(sequence.rows, branches)
    if (sequence.isSettled) this.#running = this.#running.filter((other) => other !== sequence)
  }

  #reportToken(sequence: Sequence, before: number | null, now: number): void {
    if (isBackground(sequence)) return
    const { events } = this.#options
    const { adapterId, rank } = sequence.served
    const { arrivedAt } = sequence
    if (before === null) events.emit('firstToken', { adapterId, rank, ms: now - arrivedAt })
    else events.emit('interToken', { adapterId, rank, ms: now - before })
  }

  #finish(sequence: Sequence, now: number): void {
    const { finishReason } = sequence.finish(now)
    const [only, another] = sequence.rows
    if (only !== undefined && another === undefined) this.#keep(sequence, only)
    this.#report(sequence, 'success', finishReason, now)
  }

  #fail(sequence: Sequence, error: unknown): void {
    if (sequence.isSettled) return
    sequence.fail(error)
    this.#report(sequence, error instanceof DyloraError ? error.code : 'internal', null, performance.now())
  }

  #report(sequence: Sequence, outcome: string, finishReason: FinishReason | null, now: number): void {
    if (isBackground(sequence)) return
    const { served, promptTokens, generatedTokens } = sequence
    const timings = sequence.timings(now)
    this.#options.events.emit('finished', { served, outcome, finishReason, promptTokens, generatedTokens, timings })
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
      else if (now - sequence.arrivedAt > timeoutMs) this.drop(sequence, this.#tooLate(sequence, timeoutMs))
    }
  }

  #tooLate(sequence: Sequence, timeoutMs: number): Error {
    if (isBackground(sequence) && this.waiting.includes(sequence)) {
      return errors.overloaded(`Live requests have left no place for it in ${timeoutMs} ms`)
    }
    return errors.generation(`The request took longer than ${timeoutMs} ms`)
  }

  /** Fails a request and frees its place. */
  drop(sequence: Sequence, error: Error): void {
    this.#fail(sequence, error)
    const waiting = this.waiting.indexOf(sequence)
    if (waiting >= 0) this.waiting.splice(waiting, 1)
    this.#release(sequence)
  }

  /** Its slots are free from now on. */
  #release(sequence: Sequence): void {
    if (this.#prefilling === sequence) this.#prefilling = null
    this.#running = this.#running.filter((other) => other !== sequence)
    sequence.rows = this.#rows.branch(sequence.rows, [])
  }
}

/** Who waits for factors holds nobody back. */
const isReady = ({ isLoading }: Sequence): boolean => !isLoading

const isBackground = ({ priority }: Sequence): boolean => priority === 'background'

const loadOf = ({ weights, width, priority, promptTokens }: Sequence) => ({
  ...rowsOf(weights),
  ...{ slots: width, priority, promptTokens },
})

const cached = ({ rows }: Sequence): number => rows.reduce((sum, row) => sum + row.cached, 0)

function decodeRow({ owner: { promptIds, weights }, cached, generated }: Row<Sequence>): StepRow {
  return { ids: [generated.at(-1) ?? (promptIds.at(-1) as number)], cached, weights }
}
