/** Evaluations on the running engine: bounded, one at a time, and in the background of live requests. */
import { EventEmitter } from 'node:events'
import { DyloraError, errors, hasCode } from '../errors.ts'
import { generateTexts } from '../evaluation/evaluate.ts'
import type { MetricName } from '../evaluation/metrics.ts'
import { scoreInProcess, type TextScore } from '../evaluation/scoring-process.ts'
import type { GenerateRequest, RankRequest, Served } from '../inference/request.ts'
import type { Serving } from './serving.ts'

export interface EvaluationLimits {
  readonly maxExamples: number
  /** Examples times ranks. */
  readonly maxGenerations: number
  /** Of one example. */
  readonly maxReferences: number
  /** Evaluations at once. */
  readonly maxRunning: number
  /** Generations of an evaluation that the engine has at once. */
  readonly concurrency: number
}

const defaultLimits: EvaluationLimits = {
  maxExamples: 256,
  maxGenerations: 1024,
  maxReferences: 64,
  maxRunning: 1,
  concurrency: 4,
}

export interface Example {
  readonly inputs: string
  readonly references: readonly string[]
}

export interface Wanted {
  readonly examples: readonly Example[]
  readonly ranks: readonly (RankRequest | undefined)[]
  readonly decoding: Omit<GenerateRequest, 'inputs'>
  readonly metrics: readonly MetricName[]
  readonly seed: number
  /** Are the outputs told too? */
  readonly details: boolean
}

export interface EvaluatedRank {
  readonly served: Served
  readonly scores: readonly TextScore[]
  readonly outputs: readonly string[]
}

/** What listeners hear; live requests have events of their own. */
export interface EvaluationEvents {
  /** An example was answered at a rank. */
  generated: [{ readonly adapterId: string | null; readonly rank: number; readonly tokens: number }]
  /** `outcome` is `success` or the code of the error. */
  finished: [{ readonly outcome: string; readonly durationMs: number }]
}

export class Evaluations extends EventEmitter<EvaluationEvents> {
  readonly #engine: Serving
  readonly #limits: EvaluationLimits
  #running = 0

  constructor(engine: Serving, limits: Partial<EvaluationLimits> = {}) {
    super()
    this.#engine = engine
    this.#limits = { ...defaultLimits, ...limits }
  }

  /** Evaluations under way. */
  get running(): number {
    return this.#running
  }

  /**
   * One row for each rank that was asked for, in that order.
   * @throws validation, rank_not_allowed, adapter_not_found before anything runs; overloaded when another one runs
   */
  async run(wanted: Wanted, signal: AbortSignal): Promise<EvaluatedRank[]> {
    const started = performance.now()
    let outcome = 'success'
    try {
      expectWithin(wanted, this.#limits)
      this.#expectTurn()
      return await this.#inTurn(wanted, signal)
    } catch (error) {
      outcome = error instanceof DyloraError ? error.code : 'internal'
      throw error
    } finally {
      this.emit('finished', { outcome, durationMs: performance.now() - started })
    }
  }

  #expectTurn(): void {
    const [running, limit] = [this.#running, this.#limits.maxRunning]
    if (running < limit) return
    throw errors.overloaded(`Evaluations under way: ${running}, and at most ${limit} may be`, { running, limit })
  }

  async #inTurn(wanted: Wanted, signal: AbortSignal): Promise<EvaluatedRank[]> {
    const failed = new AbortController()
    const either = AbortSignal.any([signal, failed.signal])
    this.#running += 1
    try {
      return await this.#evaluate(wanted, either)
    } finally {
      this.#running -= 1
      // One failure gives up the generations beside it.
      failed.abort()
    }
  }

  async #evaluate({ examples, ranks, decoding, metrics, seed }: Wanted, signal: AbortSignal): Promise<EvaluatedRank[]> {
    const requestOf = (inputs: string, rank: RankRequest | undefined): GenerateRequest => {
      return { ...decoding, inputs, rank, signal, priority: 'background' }
    }
    const [first] = examples
    const served = ranks.map((rank) => this.#check(requestOf(first?.inputs ?? '', rank), 0))
    for (const [i, { inputs }] of examples.entries()) {
      this.#check(requestOf(inputs, ranks[0]), i)
      // Prompts are long to tokenize; live requests go on between them.
      await new Promise((resolve) => setImmediate(resolve))
    }
    // Two words for one rank are one generation.
    const subjects = [...new Map(served.map((each) => [each.rank, each])).values()]
    const contexts = examples.map(({ inputs }) => ({ context: inputs }))
    const answer = (inputs: string, { adapterId, rank, adapterDigest }: Served) =>
      this.#answer({ ...requestOf(inputs, rank), adapterId }, adapterDigest)
    const { concurrency } = this.#limits
    const outputs = await generateTexts(contexts, subjects, answer, { concurrency })
    const references = examples.map((example) => example.references)
    const scores = await scoreInProcess({ outputs, references, metrics, seed }, signal)
    return served.map((each) => {
      const at = subjects.findIndex(({ rank }) => rank === each.rank)
      return { served: each, scores: scores[at] ?? [], outputs: outputs[at] ?? [] }
    })
  }

  /** Which weights would answer; what can never fit is refused with the example that it is. */
  #check(request: GenerateRequest, example: number): Served {
    try {
      return this.#engine.check(request)
    } catch (error) {
      if (!hasCode(error, 'validation') || !('positions' in error.facts)) throw error
      const pointer = `/examples/${example}/inputs`
      throw errors.validation(`Example ${example}: ${error.message}`, { ...error.facts, example, pointer })
    }
  }

  async #answer(request: GenerateRequest, digest: string | null): Promise<string> {
    const { adapterId, adapterDigest, rank, text, tokens } = await this.#engine.submit(request).result
    if (adapterDigest !== digest) {
      throw errors.adapterInvalid(adapterId ?? '', 'it was replaced while it was evaluated', { digest: adapterDigest })
    }
    this.emit('generated', { adapterId, rank, tokens: tokens.length })
    return text
  }
}

/** Every bound by its name in the problem document. */
function expectWithin({ examples, ranks }: Wanted, limits: EvaluationLimits): void {
  const expectAtMost = (limit: number, got: number, what: string, pointer: string) => {
    if (got <= limit) return
    throw errors.validation(`${what}: expected at most ${limit}, got ${got}`, { limit, got, pointer })
  }
  expectAtMost(limits.maxExamples, examples.length, 'examples', '/examples')
  const generations = examples.length * ranks.length
  expectAtMost(limits.maxGenerations, generations, 'examples times ranks', '/examples')
  for (const [i, { references }] of examples.entries()) {
    expectAtMost(limits.maxReferences, references.length, `references of example ${i}`, `/examples/${i}/references`)
  }
}
