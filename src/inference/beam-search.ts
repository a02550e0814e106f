/**
 * Beam search as `generate` of transformers 5 does it: the same candidates, scores, ends and heuristics of stopping, with
 * the texts that it finds equal token for token.
 */
import type { Advance, Decoder } from './decoder.ts'
import { Detokenizer } from './detokenizer.ts'
import { LogitProcessors } from './logit-processors.ts'
import { allOf, checkedNormalizer, type Logits, logitOf, topTokens } from './logits.ts'
import type { BeamSearchParameters, Completion } from './request.ts'
import { highestIds } from './selection.ts'
import { type Choice, Text, type TextOptions } from './text.ts'

interface Hypothesis {
  readonly ids: readonly number[]
  readonly choices: readonly Choice[]
  /** Of its processed log-probabilities. */
  readonly sum: number
  /** Looks for stop strings; null where there are none. */
  readonly detokenizer: Detokenizer | null
}

interface Candidate {
  readonly parent: number
  readonly id: number
  readonly sum: number
}

/** A candidate that was looked at: is its text over with this token? */
interface Judged extends Candidate {
  readonly ends: boolean
  readonly detokenizer: Detokenizer | null
}

interface Finished {
  readonly hypothesis: Hypothesis
  readonly score: number
}

/** Of rows that only fill a place: so that they are taken last, and what comes of them never wins. */
const outOfTheRace = -1e9

export class BeamSearch implements Decoder {
  readonly #options: TextOptions
  readonly #parameters: BeamSearchParameters
  readonly #processors: LogitProcessors
  readonly #prompt: readonly number[]
  #open: readonly Hypothesis[]
  /** Best first; at most as many as beams. */
  #finished: readonly Finished[] = []
  #best: { readonly text: Text; readonly score: number } | null = null
  #length = 0

  constructor(options: TextOptions, parameters: BeamSearchParameters, promptIds: readonly number[]) {
    const { sampling, stop } = options.request
    this.#options = options
    this.#parameters = parameters
    this.#processors = new LogitProcessors(sampling)
    this.#prompt = promptIds
    const detokenizer = stop.length === 0 ? null : new Detokenizer(options.tokenizer, stop)
    this.#open = [{ ids: [], choices: [], sum: 0, detokenizer }]
  }

  get width(): number {
    return this.#parameters.beams
  }

  get generatedTokens(): number {
    return this.#best?.text.length ?? this.#length
  }

  advance(rows: readonly Logits[]): Advance {
    const { beams } = this.#parameters
    const normalizers = rows.map(checkedNormalizer)
    this.#length += 1
    const judged = this.#candidates(rows, normalizers).map((candidate) => this.#judge(candidate))
    const extend = extender(this.#open, rows, normalizers, this.#options.request.topNTokens ?? 0)
    this.#finish(
      judged
        .slice(0, beams)
        .filter(({ ends }) => ends)
        .map(extend),
    )
    const next = open(judged, beams)
    this.#open = next.map(extend)
    if (judged.every(({ ends }) => ends) || this.#isDecided()) return { branches: [], events: this.#conclude() }
    const branches = next.map(({ parent }, i) => ({ parent, generated: this.#open[i]?.ids ?? [] }))
    return { branches, events: [] }
  }

  /** So many of the best that enough are left to go on with if all tokens that can end a text do; best first. */
  #candidates(rows: readonly Logits[], normalizers: readonly number[]): Candidate[] {
    const count = Math.max(2, 1 + this.#options.eosTokenIds.length) * this.#parameters.beams
    return rows
      .flatMap((logits, parent) => {
        const { ids: generated, sum } = this.#open[parent] as Hypothesis
        const scores = this.#processors.apply(allOf(logits), { prompt: this.#prompt, generated }, normalizers[parent])
        return Array.from(highestIds(scores, count), (id) => ({ parent, id, sum: sum + (scores[id] as number) }))
      })
      .sort((a, b) => b.sum - a.sum || a.parent - b.parent || a.id - b.id)
      .slice(0, count)
  }

  #judge(candidate: Candidate): Judged {
    const { eosTokenIds, request } = this.#options
    const isEnd = eosTokenIds.includes(candidate.id)
    const detokenizer = this.#open[candidate.parent]?.detokenizer?.fork() ?? null
    const stopped = !isEnd && detokenizer?.push(candidate.id).stopped
    return { ...candidate, detokenizer, ends: isEnd || stopped === true || this.#length >= request.maxNewTokens }
  }

  #finish(hypotheses: readonly Hypothesis[]): void {
    const { beams, lengthPenalty } = this.#parameters
    const scored = hypotheses.map((hypothesis) => ({
      hypothesis,
      score: hypothesis.sum / this.#length ** lengthPenalty,
    }))
    this.#finished = [...this.#finished, ...scored].sort((a, b) => b.score - a.score).slice(0, beams)
  }

  /** Can no open hypothesis replace a finished one any more, as far as the heuristic tells? */
  #isDecided(): boolean {
    const { beams, earlyStopping, lengthPenalty } = this.#parameters
    const worst = this.#finished[beams - 1]
    if (worst === undefined) return false
    if (earlyStopping === true) return true
    const longest = earlyStopping === 'never' && lengthPenalty > 0
    const length = longest ? this.#options.request.maxNewTokens : this.#length
    return (this.#open[0]?.sum ?? outOfTheRace) / length ** lengthPenalty <= worst.score
  }

  /** Tells the best hypothesis as if its tokens came now. */
  #conclude() {
    const [best] = this.#finished
    if (best === undefined) throw new TypeError('expected a finished hypothesis')
    const text = new Text(this.#options)
    const events = best.hypothesis.choices.map((choice) => text.push(choice))
    this.#best = { text, score: best.score }
    return events
  }

  completions(): readonly Completion[] {
    return this.#best === null ? [] : [this.#best.text.complete({ seed: null, score: this.#best.score })]
  }
}

/** The best that go on; those that are over only where there are not enough others, so that rows stay as many. */
function open(judged: readonly Judged[], beams: number): readonly Judged[] {
  return judged
    .map((candidate) => (candidate.ends ? { ...candidate, sum: candidate.sum + outOfTheRace } : candidate))
    .sort((a, b) => b.sum - a.sum)
    .slice(0, beams)
}

/** Makes hypotheses of candidates; what is told of a token is by the raw logits. */
function extender(
  parents: readonly Hypothesis[],
  rows: readonly Logits[],
  normalizers: readonly number[],
  topNTokens: number,
): (candidate: Judged) => Hypothesis {
  const tops = rows.map((logits) => topTokens(logits, topNTokens))
  return ({ parent, id, sum, detokenizer }) => {
    const { ids, choices } = parents[parent] as Hypothesis
    const logprob = logitOf(rows[parent] as Logits, id) - (normalizers[parent] as number)
    const choice = { id, logprob, top: tops[parent] ?? [] }
    return { ids: [...ids, id], choices: [...choices, choice], sum, detokenizer }
  }
}
