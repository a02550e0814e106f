/** One request in the engine: how far it is, the rows that it computes, and the stream of what has been generated. */
import { plainName } from '../dylora/store/versions.ts'
import type { Tokenizer } from '../dylora/tokenizer.ts'
import { BeamSearch } from './beam-search.ts'
import type { Branch, Decoder } from './decoder.ts'
import type { Logits, ScoredToken } from './logits.ts'
import type {
  Completion,
  GenerateRequest,
  GenerateResult,
  Generation,
  Priority,
  Served,
  Timings,
  Token,
  TokenEvent,
} from './request.ts'
import type { Resident } from './residency.ts'
import type { Row } from './rows.ts'
import { SampledTexts } from './sampled-texts.ts'
import { choosesAmongLikeliest } from './sampling.ts'
import { describeToken } from './text.ts'
import { TokenStream } from './token-stream.ts'

/** What a request is computed under. */
interface HeldWeights {
  readonly adapter: Resident | null
  readonly rank: number
}

export interface SequenceOptions {
  readonly request: GenerateRequest
  readonly served: Served
  readonly weights: HeldWeights
  readonly promptIds: readonly number[]
  readonly tokenizer: Tokenizer
  readonly eosTokenIds: readonly number[]
  readonly arrivedAt: number
}

export class Sequence implements Generation {
  readonly request: GenerateRequest
  readonly served: Served
  readonly weights: HeldWeights
  readonly promptIds: readonly number[]
  readonly result: Promise<GenerateResult>
  readonly priority: Priority
  /** Its rows of the batch, in the order that its decoder knows. */
  rows: readonly Row<Sequence>[] = []
  /** When the last token came, on the monotonic clock; null before the first. */
  lastTokenAt: number | null = null
  /** Is something missing that it cannot start without, such as the factors of its adapter? */
  isLoading = false
  /** Prompt tokens that were taken over instead of computed. */
  cachedTokens = 0
  readonly arrivedAt: number
  readonly #options: SequenceOptions
  #decoder: Decoder
  readonly #stream = new TokenStream<TokenEvent>()
  #prefill: Token[] = []
  #prefillLikeliest: boolean[] = []
  #prefillTopTokens: (readonly Token[])[] = []
  #startedAt: number | null = null
  #firstTokenAt: number | null = null
  #settle: { resolve: (result: GenerateResult) => void; reject: (error: unknown) => void } | null = null

  constructor(options: SequenceOptions) {
    const { request, served, weights, promptIds, arrivedAt } = options
    this.#options = options
    this.request = request
    this.priority = request.priority ?? 'live'
    this.served = served
    this.weights = weights
    this.promptIds = promptIds
    this.arrivedAt = arrivedAt
    this.#decoder = decoderOf(options)
    this.result = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
    // A caller that only reads the stream hears of a failure there.
    this.result.catch(() => {})
  }

  get tokens(): AsyncIterable<TokenEvent> {
    return this.#stream
  }

  get promptTokens(): number {
    return this.promptIds.length
  }

  get generatedTokens(): number {
    return this.#decoder.generatedTokens
  }

  /** Who shares the engine with others: the adapter that was asked for, in whatever version; '' for the bare base. */
  get client(): string {
    return clientOf(this.served.canaryOf ?? this.served.adapterId)
  }

  /** Rows that it needs at once. */
  get width(): number {
    return this.#decoder.width
  }

  get isSettled(): boolean {
    return this.#settle === null
  }

  /** Does it look at more than so many of the likeliest tokens? */
  wantsLogits(known: number): boolean {
    const { sampling, beamSearch, grammar, topNTokens = 0 } = this.request
    if (beamSearch !== undefined || grammar !== undefined || this.tellsPrompt) return true
    return topNTokens > known || !choosesAmongLikeliest(sampling, known)
  }

  /** Are the logits of the prompt's tokens asked for? */
  get tellsPrompt(): boolean {
    return this.request.prefillDetails === true || this.request.scored !== undefined
  }

  /** What its decoder waits for before it can go on; null where it waits for nothing. */
  get ready(): Promise<unknown> | null {
    return this.#decoder.ready ?? null
  }

  start(now: number): void {
    this.#startedAt = now
  }

  /** Forgets what it has generated, which nobody has seen: the background is not streamed. */
  restart(): void {
    this.#decoder.close?.()
    this.#decoder = decoderOf(this.#options)
    this.#prefill = []
    this.#prefillLikeliest = []
    this.#prefillTopTokens = []
    this.lastTokenAt = null
    this.#firstTokenAt = null
  }

  /** A prompt token with its log-probability; null for the first. */
  addPrefill(id: number, logprob: number | null, likeliest = false, top: readonly ScoredToken[] = []): void {
    this.#prefillLikeliest.push(likeliest)
    const describe = (scored: ScoredToken) => describeToken(this.#options.tokenizer, scored.id, scored.logprob)
    this.#prefillTopTokens.push(top.map(describe))
    this.#prefill.push(describeToken(this.#options.tokenizer, id, logprob))
  }

  /** Decodes logits of its rows and publishes what is sure. Gives the rows to go on with; none when it is over. */
  advance(logits: readonly Logits[], now: number): readonly Branch[] {
    const { branches, events } = this.#decoder.advance(logits)
    this.#firstTokenAt ??= now
    this.lastTokenAt = now
    if (this.priority === 'live') for (const event of events) this.#stream.push(event)
    return branches
  }

  timings(now: number): Timings {
    const started = this.#startedAt ?? now
    return {
      queueMs: started - this.arrivedAt,
      timeToFirstTokenMs: (this.#firstTokenAt ?? now) - this.arrivedAt,
      inferenceMs: now - started,
      totalMs: now - this.arrivedAt,
    }
  }

  /** Once it is over. Gives the text that was chosen. */
  finish(now: number): Completion {
    const [best, ...others] = this.#decoder.completions()
    if (best === undefined) throw new TypeError('expected a text')
    this.#settle?.resolve({
      ...this.served,
      ...best,
      others,
      promptTokens: this.promptTokens,
      cachedTokens: this.cachedTokens,
      prefill: this.#prefill,
      prefillLikeliest: this.#prefillLikeliest,
      prefillTopTokens: this.#prefillTopTokens,
      timings: this.timings(now),
    })
    this.#settle = null
    this.#decoder.close?.()
    this.#stream.end()
    return best
  }

  fail(error: unknown): void {
    this.#settle?.reject(error)
    this.#settle = null
    this.#decoder.close?.()
    this.#stream.fail(error)
  }
}

export const clientOf = (adapter: string | null): string => (adapter === null ? '' : plainName(adapter))

function decoderOf(options: SequenceOptions): Decoder {
  const { request, promptIds } = options
  return request.beamSearch === undefined
    ? new SampledTexts(options, promptIds)
    : new BeamSearch(options, request.beamSearch, promptIds)
}
