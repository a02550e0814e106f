/** What a step runs: its batches, laid out, with the ranks of their rows and the feeds that follow from them. */
import { layOut, type SequenceBatch, type TokenSequence } from '../dylora/sequences.ts'
import type { BatchOrder } from './batches.ts'
import { batchRanks, batchRows } from './distillation.ts'
import type { Learner, StepPlan } from './learner.ts'
import { randomSource } from './random.ts'
import type { TrainingSettings } from './settings.ts'

interface StepBatches {
  /** The sequences of each batch, row by row. */
  readonly rows: readonly (readonly TokenSequence[])[]
  readonly batches: readonly SequenceBatch[]
  readonly plans: readonly StepPlan[]
  /** What was drawn. */
  readonly ranks: readonly number[]
}

export function stepBatches(
  learner: Pick<Learner, 'plan' | 'ranks'>,
  order: BatchOrder,
  step: number,
  settings: TrainingSettings,
): StepBatches {
  const { accumulate, batchSize, seed } = settings
  const rows = Array.from({ length: accumulate }, (_, i) => batchRows(order.at(step * accumulate + i), settings))
  const batches = rows.map((sequences) => layOut(sequences, batchSize))
  const ranks = learner.ranks(step)
  const dropout = randomSource(seed, 'dropout', step)
  const plans = batches.map((batch, i) =>
    learner.plan(batch, batchRanks(ranks, rows[i]?.length ?? 0, settings), dropout),
  )
  return { rows, batches, plans, ranks }
}
