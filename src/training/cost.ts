/** What a run computes: the matrix products of its steps. */
import type { BaseModel } from '../dylora/base-model.ts'
import type { SequenceBatch } from '../dylora/sequences.ts'
import { BatchOrder } from './batches.ts'
import type { Dataset } from './data.ts'
import { examplesPerBatch } from './distillation.ts'
import { createLearner, type Learner, type StepPlan } from './learner.ts'
import type { TrainingSettings } from './settings.ts'
import { stepBatches } from './step-batches.ts'

/** Floating-point operations of a step's matrix products, padding and gradients included. */
export function stepFlops(
  { flops }: Pick<Learner, 'flops'>,
  batches: readonly SequenceBatch[],
  plans: readonly StepPlan[],
): number {
  return batches.reduce((sum, { tokens, time, selected }, i) => {
    return sum + flops({ tokens, time, selected, rank: plans[i]?.rank ?? 0 })
  }, 0)
}

/** The same of a whole run of `steps`, estimated from at most `samples` of them, evenly spread. Nothing is trained. */
export async function estimateFlops(
  base: BaseModel,
  { sequences }: Dataset,
  settings: TrainingSettings,
  steps: number,
  samples = 32,
): Promise<number> {
  const learner = await createLearner(base, settings, { threads: 1 })
  const order = new BatchOrder(sequences, examplesPerBatch(settings), settings.seed)
  const count = Math.min(samples, steps)
  let flops = 0
  for (let i = 0; i < count; i++) {
    const step = Math.floor((i * steps) / count)
    const { batches, plans } = stepBatches(learner, order, step, settings)
    flops += stepFlops(learner, batches, plans)
  }
  await learner.session.close()
  return (flops * steps) / count
}
