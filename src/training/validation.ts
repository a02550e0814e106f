/** The loss of what is being learnt on held-out data, at each rank. */
import type { BaseModel } from '../dylora/base-model.ts'
import type { Score, Scored } from '../dylora/scorer.ts'
import { Scorer } from '../dylora/scorer.ts'
import type { TokenSequence } from '../dylora/sequences.ts'
import type { ExecutionOptions } from '../onnx/session.ts'
import type { Learner } from './learner.ts'
import type { TrainingSettings } from './settings.ts'

export type RankLoss = Score & { readonly rank: number; readonly examples: number }

/** What the scorer needs of factors that are still being learnt. */
function scoredFactors({ factors }: Learner, settings: TrainingSettings): Scored {
  const { targetModules, scaling, alpha, maxRank } = settings
  return { factors, targetModules, scaling, loraAlpha: alpha, maxRank }
}

/** Ranks that the method makes usable. */
export function trainedRanks({ method, maxRank }: TrainingSettings): number[] {
  if (method === 'full') return []
  return method === 'lora' ? [maxRank] : Array.from({ length: maxRank }, (_, i) => i + 1)
}

export class Validation {
  readonly #scorer: Scorer
  readonly #settings: TrainingSettings

  private constructor(scorer: Scorer, settings: TrainingSettings) {
    this.#scorer = scorer
    this.#settings = settings
  }

  static async create(base: BaseModel, settings: TrainingSettings, execution: ExecutionOptions): Promise<Validation> {
    const { targetModules, batchSize } = settings
    const options = { targetModules, batch: batchSize, ...execution }
    return new Validation(await Scorer.create(base, options), settings)
  }

  /** Rank 0 is the base model. */
  async losses(learner: Learner, sequences: readonly TokenSequence[], ranks: readonly number[]): Promise<RankLoss[]> {
    const scored = scoredFactors(learner, this.#settings)
    const losses: RankLoss[] = []
    for (const rank of ranks) {
      losses.push({ rank, examples: sequences.length, ...(await this.#scorer.score(sequences, scored, rank)) })
    }
    return losses
  }

  async close(): Promise<void> {
    await this.#scorer.close()
  }
}
