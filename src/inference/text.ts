/** One generated text: its tokens, what it says so far, and why it ends. */
import type { Tokenizer } from '../dylora/tokenizer.ts'
import { Detokenizer } from './detokenizer.ts'
import type { ScoredToken } from './logits.ts'
import type { Completion, FinishReason, GenerateRequest, Token, TokenEvent } from './request.ts'

/** A token that was chosen, and those that were likeliest in its place. */
export interface Choice extends ScoredToken {
  readonly top: readonly ScoredToken[]
}

export interface TextOptions {
  readonly request: GenerateRequest
  readonly tokenizer: Tokenizer
  readonly eosTokenIds: readonly number[]
}

export class Text {
  readonly #options: TextOptions
  readonly #detokenizer: Detokenizer
  readonly #tokens: Token[] = []
  readonly #topTokens: (readonly Token[])[] = []
  #finishReason: FinishReason | null = null

  constructor(options: TextOptions) {
    this.#options = options
    this.#detokenizer = new Detokenizer(options.tokenizer, options.request.stop)
  }

  get isOver(): boolean {
    return this.#finishReason !== null
  }

  get length(): number {
    return this.#tokens.length
  }

  push({ id, logprob, top }: Choice): TokenEvent {
    const token = this.#describe({ id, logprob })
    const topTokens = top.map((scored) => this.#describe(scored))
    const index = this.#tokens.push(token) - 1
    this.#topTokens.push(topTokens)
    const { request, eosTokenIds } = this.#options
    const isEnd = eosTokenIds.includes(id)
    const { delta, stopped } = isEnd ? { delta: '', stopped: false } : this.#detokenizer.push(id)
    const isFull = this.#tokens.length >= request.maxNewTokens
    this.#finishReason = isEnd ? 'eos_token' : stopped ? 'stop_sequence' : isFull ? 'length' : null
    const last = this.isOver
    return { index, token, topTokens, delta: last ? delta + this.#detokenizer.flush() : delta, last }
  }

  /** Once it is over. */
  complete(extra: Pick<Completion, 'seed' | 'score'>): Completion {
    if (this.#finishReason === null) throw new TypeError('expected a text that is over')
    return {
      text: this.#detokenizer.text,
      finishReason: this.#finishReason,
      tokens: this.#tokens,
      topTokens: this.#topTokens,
      ...extra,
    }
  }

  #describe(scored: ScoredToken): Token {
    return describeToken(this.#options.tokenizer, scored.id, scored.logprob)
  }
}

/** A token as it is told. */
export function describeToken(tokenizer: Tokenizer, id: number, logprob: number | null): Token {
  return { id, text: tokenizer.tokenText(id), logprob, special: tokenizer.isSpecial(id) }
}
