/**
 * In-place distillation (Yu and Huang 2019, "Universally Slimmable Networks"): each example of a batch comes twice, once at
 * the highest rank and once at a rank that is drawn, and the first teaches the second its distribution.
 */
import type { SequenceBatch, TokenSequence } from '../dylora/sequences.ts'
import type { TensorData } from '../onnx/session.ts'
import type { TrainingSettings } from './settings.ts'

type Distillation = Pick<TrainingSettings, 'distillation'>

/** How many examples a batch of `batchSize` rows holds. */
export const examplesPerBatch = ({
  batchSize,
  distillation,
}: Distillation & Pick<TrainingSettings, 'batchSize'>): number =>
  distillation > 0 ? Math.floor(batchSize / 2) : batchSize

/** The rows of a batch: the teachers, then the students in the same order. */
export const batchRows = (examples: readonly TokenSequence[], { distillation }: Distillation): TokenSequence[] =>
  distillation > 0 ? [...examples, ...examples] : [...examples]

/** The ranks of a batch of `rows` rows: teachers have the highest. */
export function batchRanks(
  ranks: readonly number[],
  rows: number,
  { distillation, maxRank }: Distillation & Pick<TrainingSettings, 'maxRank'>,
): number[] {
  return distillation > 0 ? ranks.map((rank, row) => (row < rows / 2 ? maxRank : rank)) : [...ranks]
}

/**
 * What weighs the targets of a batch, each token of the step the same; `predicted` are all of the step. A student goes by its
 * teacher's distribution to the share `distillation`, and by the true token for the rest.
 */
export function lossFeeds(
  { selected }: SequenceBatch,
  predicted: number,
  { distillation }: Distillation,
): Record<string, TensorData> {
  const column = (weight: (row: number) => number): TensorData<Float32Array> => ({
    dtype: 'float32',
    shape: [selected, 1],
    data: Float32Array.from({ length: selected }, (_, row) => weight(row) / predicted),
  })
  if (distillation === 0) return { loss_weights: column(() => 1) }
  const teachers = selected / 2
  const isStudent = (row: number) => row >= teachers
  return {
    loss_weights: column((row) => (isStudent(row) ? 1 - distillation : 1)),
    distillation_weights: column((row) => (isStudent(row) ? distillation : 0)),
    teachers: {
      dtype: 'int32',
      shape: [selected],
      data: Int32Array.from({ length: selected }, (_, row) => row % teachers),
    },
  }
}
