/** Token by token, greedy or sampled: one text, or several of which the best comes first. */
import type { Advance, Branch, Decoder } from './decoder.ts'
import type { Matcher } from './grammar/grammars.ts'
import { type Logits, topTokens } from './logits.ts'
import type { Completion, TokenEvent } from './request.ts'
import { drawSeed, Sampler } from './sampling.ts'
import { Text, type TextOptions } from './text.ts'

interface Sample {
  readonly seed: number | null
  readonly text: Text
  readonly sampler: Sampler
  readonly matcher: Matcher | null
  /** Held back where only the best text is published. */
  readonly events: TokenEvent[]
  /** The row that it goes on from. */
  row: number
  logprobs: number
}

export class SampledTexts implements Decoder {
  readonly #topNTokens: number
  readonly #samples: readonly Sample[]

  /** Text i of several is drawn with the seed + i: just what a request of its own with that seed gives. */
  constructor(options: TextOptions, promptIds: readonly number[]) {
    const { sampling, bestOf = 1, topNTokens = 0, grammar } = options.request
    const seed = sampling.seed ?? (sampling.temperature === 0 ? null : drawSeed())
    this.#topNTokens = topNTokens
    this.#samples = Array.from({ length: bestOf }, (_, i) => {
      const matcher = grammar?.open() ?? null
      return {
        seed: seed === null ? null : nthSeed(seed, i),
        text: new Text(options),
        sampler: new Sampler(sampling, nthSeed(seed ?? 0, i), promptIds, matcher),
        ...{ matcher, events: [], row: 0, logprobs: 0 },
      }
    })
  }

  get width(): number {
    return this.#samples.length
  }

  get generatedTokens(): number {
    return this.#samples.reduce((sum, { text }) => sum + text.length, 0)
  }

  get ready(): Promise<unknown> | null {
    const waits = this.#samples.flatMap(({ text, matcher }) => (matcher === null || text.isOver ? [] : [matcher.ready]))
    return waits.length === 0 ? null : Promise.all(waits)
  }

  close(): void {
    for (const { matcher } of this.#samples) matcher?.close()
  }

  advance(rows: readonly Logits[]): Advance {
    const tops = rows.map((logits) => topTokens(logits, this.#topNTokens))
    const branches: Branch[] = []
    for (const sample of this.#samples) {
      if (sample.text.isOver) continue
      const parent = sample.row
      const chosen = sample.sampler.next(rows[parent] as Logits)
      sample.logprobs += chosen.logprob
      sample.events.push(sample.text.push({ ...chosen, top: tops[parent] ?? [] }))
      if (!sample.text.isOver) sample.row = branches.push({ parent, generated: sample.sampler.generated }) - 1
    }
    return { branches, events: this.#publish(branches.length === 0) }
  }

  #publish(isOver: boolean): TokenEvent[] {
    const [sample] = this.#ranked()
    return this.width === 1 || isOver ? (sample?.events.splice(0) ?? []) : []
  }

  completions(): readonly Completion[] {
    return this.#ranked().map((sample) =>
      sample.text.complete({ seed: sample.seed, score: this.width === 1 ? null : score(sample) }),
    )
  }

  /** The likeliest first, by the mean of its log-probabilities. */
  #ranked(): readonly Sample[] {
    return this.#samples.toSorted((a, b) => score(b) - score(a))
  }
}

/** Goes on at 0 after the highest whole number that is exact. */
export function nthSeed(seed: number, i: number): number {
  const room = Number.MAX_SAFE_INTEGER - i
  return seed <= room ? seed + i : seed - room - 1
}

function score({ logprobs, text }: Sample): number {
  return logprobs / text.length
}
