/** What changes the scores of tokens before one is chosen: penalties and bans, one table in the order of transformers. */
import type { SamplingParameters } from './request.ts'

/** The tokens before the one that is to be chosen. */
export interface History {
  readonly prompt: readonly number[]
  readonly generated: readonly number[]
}

interface Processor {
  readonly changesNothing: (parameters: SamplingParameters) => boolean
  /** Changes scores [vocabSize] in place. */
  readonly apply: (scores: Float32Array, history: History, parameters: SamplingParameters) => void
}

/**
 * The repetition penalty and, by default, the ban on n-grams count prompt and output, as in transformers, vLLM and
 * text-generation-inference; the frequency and presence penalties the output alone, as in vLLM and OpenAI's API.
 */
const processors: readonly Processor[] = [
  { changesNothing: ({ repetitionPenalty }) => repetitionPenalty === 1, apply: penalizeRepetition },
  {
    changesNothing: ({ frequencyPenalty, presencePenalty }) => frequencyPenalty === 0 && presencePenalty === 0,
    apply: penalizeFrequency,
  },
  { changesNothing: ({ noRepeatNgramSize }) => noRepeatNgramSize === 0, apply: banNgrams },
]

/** Are the scores the logits themselves? */
export const changesNothing = (parameters: SamplingParameters): boolean =>
  processors.every((processor) => processor.changesNothing(parameters))

/** The processors that the parameters ask for. */
export class LogitProcessors {
  readonly #parameters: SamplingParameters
  readonly #active: readonly Processor[]
  #copy = new Float32Array(0)

  constructor(parameters: SamplingParameters) {
    this.#parameters = parameters
    this.#active = processors.filter(({ changesNothing }) => !changesNothing(parameters))
  }

  /**
   * Scores [vocabSize] after all processors: the logits themselves where nothing changes them, otherwise a copy that is
   * valid until the next call. A `shift` is subtracted first: the penalty of repetition goes by the sign.
   */
  apply(logits: Float32Array, history: History, shift = 0): Float32Array {
    if (this.#active.length === 0 && shift === 0) return logits
    if (this.#copy.length !== logits.length) this.#copy = new Float32Array(logits.length)
    const scores = this.#copy
    for (let id = 0; id < scores.length; id++) scores[id] = (logits[id] as number) - shift
    for (const { apply } of this.#active) apply(scores, history, this.#parameters)
    return scores
  }
}

/** Each token once, however often it occurred (Keskar et al. 2019, section 4.1). */
function penalizeRepetition(scores: Float32Array, { prompt, generated }: History, parameters: SamplingParameters) {
  const { repetitionPenalty } = parameters
  for (const id of new Set([...prompt, ...generated])) {
    const score = scores[id] as number
    scores[id] = score > 0 ? score / repetitionPenalty : score * repetitionPenalty
  }
}

function penalizeFrequency(scores: Float32Array, { generated }: History, parameters: SamplingParameters): void {
  const { frequencyPenalty, presencePenalty } = parameters
  const counts = new Map<number, number>()
  for (const id of generated) counts.set(id, (counts.get(id) ?? 0) + 1)
  for (const [id, count] of counts) scores[id] = (scores[id] as number) - count * frequencyPenalty - presencePenalty
}

function banNgrams(scores: Float32Array, { prompt, generated }: History, parameters: SamplingParameters): void {
  const { noRepeatNgramSize, noRepeatNgramScope } = parameters
  const ids = noRepeatNgramScope === 'output' ? generated : [...prompt, ...generated]
  for (const id of completions(ids, noRepeatNgramSize)) scores[id] = Number.NEGATIVE_INFINITY
}

/** The tokens that would make the last n-gram one that was there before. */
function completions(ids: readonly number[], n: number): number[] {
  const found: number[] = []
  const last = ids.length - n + 1
  for (let start = 0; start < last; start++) {
    let same = 0
    while (same < n - 1 && ids[start + same] === ids[last + same]) same++
    if (same === n - 1) found.push(ids[start + n - 1] as number)
  }
  return found
}
