/** What the engine takes and gives. The HTTP layer translates to and from this; the engine knows no HTTP. */
import type { Grammar } from './grammar/grammars.ts'

/** A rank as asked for: a number, or a word. `base` (0) is the base model without the adapter's factors. */
export type RankRequest = number | 'max' | 'auto'

/** Why a rank was taken; `max_rank` and `pressure` say what kept `auto` from a higher one. */
export const rankReasons = ['requested', 'max', 'default', 'auto', 'no_curve', 'base', 'max_rank', 'pressure'] as const
export type RankReason = (typeof rankReasons)[number]

export interface SamplingParameters {
  /** 0 is greedy. Default 0 unless `doSample`, then 1. */
  readonly temperature: number
  /** 0 keeps all. */
  readonly topK: number
  /** 1 keeps all. */
  readonly topP: number
  /** 0 keeps all. */
  readonly minP: number
  /** 1 keeps all. */
  readonly typicalP: number
  /** 1 changes nothing. */
  readonly repetitionPenalty: number
  /** 0 changes nothing. */
  readonly frequencyPenalty: number
  /** 0 changes nothing. */
  readonly presencePenalty: number
  /** No run of so many tokens comes twice; 0 bans none. */
  readonly noRepeatNgramSize: number
  /** Where a run may not come twice: with the prompt, no name of so many tokens can be taken over from it. */
  readonly noRepeatNgramScope: 'prompt_and_output' | 'output'
  /** The same seed gives the same text, alone or in a batch. Drawn by the engine when null. */
  readonly seed: number | null
}

/** No sampling, no penalties: the likeliest token at each step. */
export const greedySampling: SamplingParameters = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  typicalP: 1,
  repetitionPenalty: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
  noRepeatNgramSize: 0,
  noRepeatNgramScope: 'prompt_and_output',
  seed: null,
}

/** Search for the likeliest text instead of a draw at each step; needs a temperature of 0. */
export interface BeamSearchParameters {
  /** Hypotheses that are kept at each step. Each takes a slot of the batch. */
  readonly beams: number
  /** A hypothesis scores the sum of its log-probabilities over its length to this power. */
  readonly lengthPenalty: number
  /**
   * When is a search over that has as many finished hypotheses as beams? `true`: at once; `false`: when no open one
   * would beat the worst of them if it ended now; `'never'`: when none could at any length.
   */
  readonly earlyStopping: boolean | 'never'
}

/**
 * How the paper decodes: LoRA's `gpt2_beam.py` (examples/NLG of microsoft/LoRA) with its settings for E2E, whose n-grams are
 * those of the output alone.
 */
export const paperDecoding = {
  beamSearch: { beams: 10, lengthPenalty: 0.8, earlyStopping: false },
  sampling: { ...greedySampling, noRepeatNgramSize: 4, noRepeatNgramScope: 'output' },
} as const satisfies Partial<GenerateRequest>

/**
 * A live request has somebody waiting for it. The background takes what live requests leave: it is admitted when none of
 * them waits, to a few slots, and when a live one needs those it loses them and starts again later.
 */
export type Priority = 'live' | 'background'

export interface GenerateRequest {
  /**
   * Default `live`. The background has no bound on those that wait, no stream of tokens and no events: who sends it bounds
   * and counts it.
   */
  readonly priority?: Priority | undefined
  readonly inputs: string
  /** Token ids in place of `inputs`. */
  readonly inputIds?: readonly number[] | undefined
  /** Requests with the same one are answered by the same version of an adapter, whatever their seeds are. */
  readonly family?: string | undefined
  /** What a share of requests is drawn by where there is no seed, such as the id of the request. */
  readonly key?: string | undefined
  /** An adapter's name; null asks for the bare base model; undefined for the default adapter. */
  readonly adapterId?: string | null | undefined
  /** Undefined is `max`. */
  readonly rank?: RankRequest | undefined
  /** For `auto`: the share of the best validation quality that is good enough. Default 0.99. */
  readonly minQuality?: number | undefined
  readonly maxNewTokens: number
  /** Fewer new tokens where the model has no positions for so many. */
  readonly shortensToFit?: boolean | undefined
  readonly sampling: SamplingParameters
  /** Undefined decodes token by token. The stream of a search comes all at its end. */
  readonly beamSearch?: BeamSearchParameters | undefined
  /** Samples so many texts, a slot each, and gives the likeliest by the mean of its log-probabilities. Default 1. */
  readonly bestOf?: number | undefined
  readonly stop: readonly string[]
  /** Each text follows it; of `engine.prepareGrammar`. Not with beams. */
  readonly grammar?: Grammar | undefined
  /** Keep only the last so many prompt tokens. */
  readonly truncate?: number | undefined
  /** Give the prompt's tokens with their log-probabilities. */
  readonly prefillDetails?: boolean | undefined
  /** Tokens after the prompt that are scored with it: how likely each is, and whether it is the likeliest. */
  readonly scored?: readonly number[] | undefined
  /** Give the n likeliest tokens at each step, and with `prefillDetails` at each token of the prompt. */
  readonly topNTokens?: number | undefined
  readonly signal?: AbortSignal | undefined
}

export interface Token {
  readonly id: number
  readonly text: string
  /** Natural logarithm; null for the first token of a prompt. */
  readonly logprob: number | null
  readonly special: boolean
}

export type FinishReason = 'length' | 'eos_token' | 'stop_sequence'

/** A generated token as it is published. */
export interface TokenEvent {
  readonly index: number
  readonly token: Token
  readonly topTokens: readonly Token[]
  /** The text that this token adds to the output; may be empty inside a character or a possible stop string. */
  readonly delta: string
  /** Is it the last one? The result is settled by then, or in the same turn. */
  readonly last: boolean
}

/** Which weights answered. */
export interface Served {
  readonly adapterId: string | null
  readonly adapterDigest: string | null
  readonly rank: number
  readonly rankRequested: RankRequest
  readonly rankReason: RankReason
  /** The adapter that was asked for, where its canary answered. */
  readonly canaryOf: string | null
  /** Will the tokens be scored again at the highest rank? */
  readonly shadow: boolean
}

/** Milliseconds on the monotonic clock. */
export interface Timings {
  readonly queueMs: number
  /** From arrival to the first token. */
  readonly timeToFirstTokenMs: number
  readonly inferenceMs: number
  readonly totalMs: number
}

/** A text that was generated. */
export interface Completion {
  readonly text: string
  readonly finishReason: FinishReason
  readonly tokens: readonly Token[]
  readonly topTokens: readonly (readonly Token[])[]
  /** Null when nothing was drawn. */
  readonly seed: number | null
  /** What it was chosen by among several texts or hypotheses; null where there was no choice. */
  readonly score: number | null
}

export interface GenerateResult extends Served, Completion {
  readonly promptTokens: number
  /** Prompt tokens whose keys and values were known from an earlier request. */
  readonly cachedTokens: number
  /** Empty unless `prefillDetails`, or `scored`. */
  readonly prefill: readonly Token[]
  /** For each token of `prefill`, whether it was the likeliest; the first never is. */
  readonly prefillLikeliest: readonly boolean[]
  /** For each token of `prefill`, the likeliest in its place; none for the first. Empty where `topNTokens` is 0. */
  readonly prefillTopTokens: readonly (readonly Token[])[]
  /** The other texts of `bestOf`, best first. */
  readonly others: readonly Completion[]
  readonly timings: Timings
}

/** A request under way. */
export interface Generation {
  /** Known at once: which adapter and rank serve it. */
  readonly served: Served
  readonly promptTokens: number
  /** The stream of tokens; ends when the result is there, throws what `result` rejects with. */
  readonly tokens: AsyncIterable<TokenEvent>
  readonly result: Promise<GenerateResult>
}
