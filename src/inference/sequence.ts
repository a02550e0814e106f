/** One request in the engine: its tokens, how far it is, and the stream of what has been generated. */
import type { Tokenizer } from '../dylora/tokenizer.ts'
import { Detokenizer } from './detokenizer.ts'
import type { Weights } from './lora-packing.ts'
import type {
  FinishReason,
  GenerateRequest,
  GenerateResult,
  Generation,
  Served,
  Timings,
  Token,
  TokenEvent,
} from './request.ts'
import { drawSeed, Sampler } from './sampling.ts'
import { TokenStream } from './token-stream.ts'

export interface SequenceOptions {
  readonly request: GenerateRequest
  readonly served: Served
  readonly weights: Weights
  readonly promptIds: readonly number[]
  readonly tokenizer: Tokenizer
  readonly eosTokenIds: readonly number[]
  readonly arrivedAt: number
}

export class Sequence implements Generation {
  readonly request: GenerateRequest
  readonly served: Served
  readonly weights: Weights
  readonly promptIds: readonly number[]
  readonly result: Promise<GenerateResult>
  /** Tokens in the cache. */
  cached = 0
  slot = -1
  /** When the last token came, on the monotonic clock; null before the first. */
  lastTokenAt: number | null = null
  readonly arrivedAt: number
  readonly #seed: number | null
  readonly #sampler: Sampler
  readonly #detokenizer: Detokenizer
  readonly #tokenizer: Tokenizer
  readonly #eosTokenIds: readonly number[]
  readonly #stream = new TokenStream<TokenEvent>()
  readonly #generated: Token[] = []
  readonly #topTokens: (readonly Token[])[] = []
  readonly #prefill: Token[] = []
  #startedAt: number | null = null
  #firstTokenAt: number | null = null
  #settle: { resolve: (result: GenerateResult) => void; reject: (error: unknown) => void } | null = null

  constructor({ request, served, weights, promptIds, tokenizer, eosTokenIds, arrivedAt }: SequenceOptions) {
    const isGreedy = request.sampling.temperature === 0
    this.#seed = request.sampling.seed ?? (isGreedy ? null : drawSeed())
    this.request = request
    this.served = served
    this.weights = weights
    this.promptIds = promptIds
    this.arrivedAt = arrivedAt
    this.#tokenizer = tokenizer
    this.#eosTokenIds = eosTokenIds
    this.#sampler = new Sampler(request.sampling, this.#seed ?? 0, promptIds)
    this.#detokenizer = new Detokenizer(tokenizer, request.stop)
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
    return this.#generated.length
  }

  get isSettled(): boolean {
    return this.#settle === null
  }

  /** The token to be fed next, once the prompt is in the cache. */
  get nextInput(): number {
    return this.#generated.at(-1)?.id ?? (this.promptIds.at(-1) as number)
  }

  start(now: number): void {
    this.#startedAt = now
  }

  /** A prompt token with its log-probability; null for the first. */
  addPrefill(id: number, logprob: number | null): void {
    this.#prefill.push(this.#token(id, logprob))
  }

  /** Samples from a row of logits and publishes the token. Gives the reason when it was the last one. */
  advance(
    logits: Float32Array,
    topTokens: readonly { id: number; logprob: number }[],
    now: number,
  ): FinishReason | null {
    const { id, logprob } = this.#sampler.next(logits)
    const token = this.#token(id, logprob)
    const index = this.#generated.push(token) - 1
    const top = topTokens.map((candidate) => this.#token(candidate.id, candidate.logprob))
    this.#topTokens.push(top)
    this.#firstTokenAt ??= now
    this.lastTokenAt = now
    const isEnd = this.#eosTokenIds.includes(id)
    const { delta, stopped } = isEnd ? { delta: '', stopped: false } : this.#detokenizer.push(id)
    const reason = isEnd ? 'eos_token' : stopped ? 'stop_sequence' : this.#isFull() ? 'length' : null
    const last = reason !== null
    this.#stream.push({ index, token, topTokens: top, delta: last ? delta + this.#detokenizer.flush() : delta, last })
    return reason
  }

  #isFull(): boolean {
    return this.#generated.length >= this.request.maxNewTokens
  }

  #token(id: number, logprob: number | null): Token {
    return { id, text: this.#tokenizer.tokenText(id), logprob, special: this.#tokenizer.isSpecial(id) }
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

  finish(finishReason: FinishReason, now: number): void {
    this.#settle?.resolve({
      ...this.served,
      text: this.#detokenizer.text,
      finishReason,
      promptTokens: this.promptTokens,
      tokens: this.#generated,
      topTokens: this.#topTokens,
      prefill: this.#prefill,
      seed: this.#seed,
      timings: this.timings(now),
    })
    this.#settle = null
    this.#stream.end()
  }

  fail(error: unknown): void {
    this.#settle?.reject(error)
    this.#settle = null
    this.#stream.fail(error)
  }
}
