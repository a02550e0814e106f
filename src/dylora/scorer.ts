/** Teacher-forced scoring: the log-probability of given tokens under a base model and an adapter cut to a rank. */
import { type ExecutionOptions, Session, type TensorData } from '../onnx/session.ts'
import { type Adapter, type LoraFactors, type ModuleKey, scalingOf, type TargetModule, truncate } from './adapter.ts'
import type { BaseModel } from './base-model.ts'
import { type AdaptedLayer, scoringGraph } from './graphs.ts'
import { cutDiagonal, layOut, loraMask, predictedTokens, type TokenSequence } from './sequences.ts'

/** What a cut needs of an adapter. */
export type Scored = Pick<Adapter, 'factors' | 'targetModules' | 'scaling' | 'loraAlpha' | 'maxRank'>

export interface Score {
  /** Mean negative log-likelihood per predicted token, in nats. */
  readonly loss: number
  readonly tokens: number
}

export interface ScorerOptions extends ExecutionOptions {
  readonly targetModules: readonly TargetModule[]
  readonly batch: number
}

export class Scorer {
  readonly #session: Session
  readonly #adapted: readonly AdaptedLayer[]
  readonly #batch: number

  private constructor(session: Session, adapted: readonly AdaptedLayer[], batch: number) {
    this.#session = session
    this.#adapted = adapted
    this.#batch = batch
  }

  static async create(base: BaseModel, { targetModules, batch, ...execution }: ScorerOptions): Promise<Scorer> {
    const { model, externalDataDirectory, adapted } = scoringGraph(base, { targetModules, batch })
    const session = await Session.create(model, { externalDataDirectory, ...execution })
    return new Scorer(session, adapted, batch)
  }

  /** The mean loss over all predicted tokens of all sequences. Rank 0 is the base model. */
  async score(sequences: readonly TokenSequence[], adapter: Scored | null, rank: number): Promise<Score> {
    const counted = sequences.filter((sequence) => predictedTokens(sequence) > 0)
    // Sequences of one length side by side waste no padding.
    const sorted = counted.toSorted((a, b) => a.ids.length - b.ids.length)
    let [sum, tokens] = [0, 0]
    for (let start = 0; start < sorted.length; start += this.#batch) {
      const logProbabilities = await this.logProbabilities(sorted.slice(start, start + this.#batch), adapter, rank)
      for (const value of logProbabilities) sum -= value
      tokens += logProbabilities.length
    }
    return { loss: tokens === 0 ? Number.NaN : sum / tokens, tokens }
  }

  /** Log-probabilities of the predicted tokens of one batch, sequence after sequence. */
  async logProbabilities(
    sequences: readonly TokenSequence[],
    adapter: Scored | null,
    rank: number,
  ): Promise<Float32Array> {
    const { feeds, tokens } = layOut(sequences, this.#batch)
    const lora = this.#adapted.length === 0 ? {} : this.#loraFeeds(tokens, adapter, rank)
    const { log_probabilities } = await this.#session.run({ ...feeds, ...lora })
    return log_probabilities?.data as Float32Array
  }

  #loraFeeds(tokens: number, adapter: Scored | null, rank: number): Record<string, TensorData> {
    const used = adapter === null ? 0 : rank
    const scaling = adapter === null || rank === 0 ? 0 : scalingOf(adapter, rank)
    const mask = loraMask(tokens, used, [cutDiagonal(used, scaling)])
    return { lora_mask: mask, ...factorFeeds(this.#adapted, adapter?.factors ?? new Map(), used) }
  }

  async close(): Promise<void> {
    await this.#session.close()
  }
}

/** The factors of every adapted layer cut to `rank`, as feeds; a layer that the adapter leaves alone must not be asked for. */
export function factorFeeds(
  adapted: readonly AdaptedLayer[],
  factors: ReadonlyMap<ModuleKey, LoraFactors>,
  rank: number,
): Record<string, TensorData> {
  const feeds: Record<string, TensorData> = {}
  for (const { key, inputA, inputB, inFeatures, outFeatures } of adapted) {
    const whole = factors.get(key)
    if (whole === undefined && rank > 0) throw new RangeError(`expected factors for ${key}, got none`)
    const cut = truncate(whole ?? emptyFactors(inFeatures, outFeatures), rank)
    feeds[inputA] = { dtype: 'float32', shape: [rank, inFeatures], data: cut.loraA }
    feeds[inputB] = { dtype: 'float32', shape: [rank, outFeatures], data: cut.loraB }
  }
  return feeds
}

const emptyFactors = (inFeatures: number, outFeatures: number): LoraFactors => ({
  inFeatures,
  outFeatures,
  loraA: new Float32Array(),
  loraB: new Float32Array(),
})
