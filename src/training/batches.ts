/** The order of training: batches of sequences of about one length, in a different order in each epoch. */
import type { TokenSequence } from '../dylora/sequences.ts'
import { randomSource, shuffled } from './random.ts'

/** Sequences are sorted by length within pools of this many batches: little padding, still random. */
const poolBatches = 64

/** Batches of an epoch: which sequences, as indices. The same seed and epoch give the same batches. */
export function epochBatches(
  sequences: readonly TokenSequence[],
  batchSize: number,
  seed: number,
  epoch: number,
): number[][] {
  const random = randomSource(seed, 'order', epoch)
  const order = shuffled(Array.from(sequences.keys()), random)
  const length = (index: number) => sequences[index]?.ids.length ?? 0
  const pools = chunks(order, batchSize * poolBatches)
  const batches = pools.flatMap((pool) =>
    chunks(
      pool.toSorted((a, b) => length(a) - length(b)),
      batchSize,
    ),
  )
  return shuffled(batches, random)
}

function chunks<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size))
}

/** The batch of a step, counted over all epochs. */
export class BatchOrder {
  readonly #sequences: readonly TokenSequence[]
  readonly #batchSize: number
  readonly #seed: number
  readonly batchesPerEpoch: number
  #epoch = -1
  #batches: number[][] = []

  constructor(sequences: readonly TokenSequence[], batchSize: number, seed: number) {
    this.#sequences = sequences
    this.#batchSize = batchSize
    this.#seed = seed
    this.batchesPerEpoch = epochBatches(sequences, batchSize, seed, 0).length
  }

  at(index: number): TokenSequence[] {
    const epoch = Math.floor(index / this.batchesPerEpoch)
    if (epoch !== this.#epoch) {
      this.#epoch = epoch
      this.#batches = epochBatches(this.#sequences, this.#batchSize, this.#seed, epoch)
    }
    return (this.#batches[index % this.batchesPerEpoch] ?? []).map((i) => this.#sequences[i] as TokenSequence)
  }
}
