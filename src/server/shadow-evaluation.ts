/** Shadow evaluation: what a request was answered with, scored again at the highest rank in the background of live requests. */
import { EventEmitter } from 'node:events'
import { DyloraError } from '../errors.ts'
import { type GenerateRequest, type GenerateResult, greedySampling } from '../inference/request.ts'
import type { Serving } from './serving.ts'

/** How likely the tokens of an answer are at two ranks. */
interface Comparison {
  readonly adapterId: string
  /** The rank that answered. */
  readonly rank: number
  readonly tokens: number
  /** Tokens that are the likeliest at the highest rank too, after the same text. */
  readonly agreed: number
  /** Sums of -ln p over the tokens, at the rank that answered and at the highest. */
  readonly servedNats: number
  readonly highestNats: number
}

export interface ShadowEvents {
  scored: [Comparison]
  /** `outcome` is `success`, `dropped` where too many waited, `replaced` where another version serves by now, or an error's code. */
  finished: [{ readonly adapterId: string; readonly rank: number; readonly outcome: string }]
}

interface Answer {
  readonly request: GenerateRequest
  readonly result: GenerateResult
}

/** So many may wait for idle capacity; one more is dropped, since a sample needs no completeness. */
const maxWaiting = 16

export class ShadowEvaluation extends EventEmitter<ShadowEvents> {
  readonly #engine: Serving
  readonly #closing = new AbortController()
  readonly #listener = (answer: Answer) => void this.#take(answer)
  #waiting = 0

  constructor(engine: Serving) {
    super()
    this.#engine = engine
    engine.on('shadow', this.#listener)
  }

  /** Gives up what waits. Idempotent. */
  close(): void {
    this.#engine.off('shadow', this.#listener)
    this.#closing.abort()
  }

  async #take(answer: Answer): Promise<void> {
    const { adapterId, rank, tokens } = answer.result
    if (adapterId === null || tokens.length === 0) return
    const outcome = this.#waiting >= maxWaiting ? 'dropped' : await this.#compare(answer, adapterId)
    this.emit('finished', { adapterId, rank, outcome })
  }

  async #compare({ request, result }: Answer, adapterId: string): Promise<string> {
    this.#waiting += 1
    try {
      const again = await this.#engine.submit(shadowOf(request, result, adapterId, this.#closing.signal)).result
      if (again.adapterDigest !== result.adapterDigest) return 'replaced'
      this.emit('scored', comparisonOf(result, again, adapterId))
      return 'success'
    } catch (error) {
      return error instanceof DyloraError ? error.code : 'internal'
    } finally {
      this.#waiting -= 1
    }
  }
}

/** The same prompt, with the tokens of the answer after it. */
const shadowOf = (
  { inputs, inputIds, truncate }: GenerateRequest,
  { tokens }: GenerateResult,
  adapterId: string,
  signal: AbortSignal,
): GenerateRequest => ({
  ...{ inputs, inputIds, truncate, adapterId, signal, rank: 'max', priority: 'background' },
  ...{ scored: tokens.map(({ id }) => id), maxNewTokens: 1, sampling: greedySampling, stop: [] },
})

/** The tokens of the answer are the last of what was scored. */
function comparisonOf(result: GenerateResult, again: GenerateResult, adapterId: string): Comparison {
  const { rank, tokens } = result
  const scored = again.prefill.slice(-tokens.length)
  return {
    ...{ adapterId, rank, tokens: tokens.length },
    agreed: again.prefillLikeliest.slice(-tokens.length).filter(Boolean).length,
    servedNats: nats(tokens),
    highestNats: nats(scored),
  }
}

const nats = (tokens: GenerateResult['tokens']): number => tokens.reduce((sum, { logprob }) => sum - (logprob ?? 0), 0)
