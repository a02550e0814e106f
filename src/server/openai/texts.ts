/** The texts of one request: all are taken by the engine or none is, and the failure of one ends the others. */
import type { Completion, GenerateResult, Generation, TokenEvent } from '../../inference/request.ts'
import { nthSeed } from '../../inference/sampled-texts.ts'
import { TokenStream } from '../../inference/token-stream.ts'
import type { Serving } from '../serving.ts'
import type { Asked } from './asked.ts'

interface Group {
  readonly prompt: Asked['prompts'][number]
  readonly runs: readonly Generation[]
}

/** One of the texts, when all are there. */
export interface Choice {
  readonly index: number
  readonly prompt: Asked['prompts'][number]
  readonly result: GenerateResult
  readonly completion: Completion
}

/** A token of one of the texts, as it comes; with the last one, the whole. */
export interface ChoiceEvent {
  readonly index: number
  readonly prompt: Asked['prompts'][number]
  readonly event: TokenEvent
  readonly result: GenerateResult | null
}

export class Texts {
  readonly #groups: readonly Group[]
  readonly #n: number
  readonly #abort: AbortController

  private constructor(groups: readonly Group[], n: number, abort: AbortController) {
    this.#groups = groups
    this.#n = n
    this.#abort = abort
  }

  /** Throws what `submit` throws; then no text is under way. `key` is that of the request. */
  static submit(engine: Serving, asked: Asked, { key, gone }: { key: string; gone: AbortSignal }): Texts {
    const abort = new AbortController()
    const signal = AbortSignal.any([gone, abort.signal])
    const { prompts, n, request } = asked
    const runs = (request.bestOf ?? 1) > 1 ? 1 : n
    const family = request.sampling.seed === null ? key : `seed ${request.sampling.seed}`
    const submit = (prompt: Asked['prompts'][number], i: number) =>
      engine.submit({ ...request, ...prompt, sampling: nthSampling(request.sampling, i), signal, key, family })
    try {
      const groups = prompts.map((prompt) => ({
        prompt,
        runs: Array.from({ length: runs }, (_, i) => submit(prompt, i)),
      }))
      return new Texts(groups, n, abort)
    } catch (error) {
      abort.abort()
      throw error
    }
  }

  /** Which weights answer: the same for all of them. */
  get first(): Generation {
    const run = this.#groups[0]?.runs[0]
    if (run === undefined) throw new TypeError('expected at least one prompt')
    return run
  }

  /** Of all prompts, each once. */
  get promptTokens(): number {
    return this.#groups.reduce((sum, { runs }) => sum + (runs[0]?.promptTokens ?? 0), 0)
  }

  /** Of the first text of each prompt; known once that is there. */
  async promptUsage(): Promise<{ readonly prompt: number; readonly cached: number }> {
    const first = await Promise.all(this.#groups.flatMap(({ runs: [run] }) => run?.result ?? []))
    return { prompt: this.promptTokens, cached: first.reduce((sum, { cachedTokens }) => sum + cachedTokens, 0) }
  }

  /** Ends what is still under way. */
  abort(): void {
    this.#abort.abort()
  }

  async choices(): Promise<Choice[]> {
    try {
      const groups = await Promise.all(this.#groups.map((group) => this.#choicesOf(group)))
      return groups.flat().map((choice, index) => ({ ...choice, index }))
    } catch (error) {
      this.abort()
      throw error
    }
  }

  /** Of several texts from one run, the best come first. */
  async #choicesOf({ prompt, runs }: Group): Promise<Omit<Choice, 'index'>[]> {
    const results = await Promise.all(runs.map(({ result }) => result))
    return results
      .flatMap((result) => [result, ...result.others].map((completion) => ({ prompt, result, completion })))
      .slice(0, this.#n)
  }

  /** The tokens of all texts in the order in which they come. */
  events(): AsyncIterable<ChoiceEvent> {
    const merged = new TokenStream<ChoiceEvent>()
    const pump = async (prompt: Asked['prompts'][number], run: Generation, index: number) => {
      for await (const event of run.tokens) {
        merged.push({ index, prompt, event, result: event.last ? await run.result : null })
      }
    }
    const pumps = this.#groups.flatMap(({ prompt, runs }, group) =>
      runs.map((run, i) => pump(prompt, run, group * runs.length + i)),
    )
    Promise.all(pumps).then(
      () => merged.end(),
      (error) => merged.fail(error),
    )
    return merged
  }
}

/** Text i has the seed + i, so that texts differ and each can be asked for again. */
const nthSampling = (sampling: Asked['request']['sampling'], i: number) =>
  sampling.seed === null ? sampling : { ...sampling, seed: nthSeed(sampling.seed, i) }

/** Every token that was generated, of texts that were not chosen too. */
export const generatedTokens = (choices: readonly Choice[]): number =>
  [...new Set(choices.map(({ result }) => result))]
    .flatMap((result) => [result, ...result.others])
    .reduce((sum, { tokens }) => sum + tokens.length, 0)
