/** Token sequences laid out for the graphs that see whole sequences: time-major, with the positions that count. */
import type { TensorData } from '../onnx/session.ts'

export interface TokenSequence {
  readonly ids: Int32Array
  /** The first token that is to be predicted; those before it are given. */
  readonly lossFrom: number
}

/** What the scoring and the training graph read of a batch. */
export interface SequenceBatch {
  readonly tokens: number
  readonly time: number
  readonly selected: number
  readonly feeds: {
    readonly input_ids: TensorData<Int32Array>
    readonly positions: TensorData<Int32Array>
    readonly select: TensorData<Int32Array>
    readonly targets: TensorData<BigInt64Array>
    readonly attention_mask: TensorData<Float32Array>
  }
  /** For each selected token, which sequence of the batch it belongs to. */
  readonly owners: Int32Array
}

/** How many tokens of a sequence are predicted. */
export const predictedTokens = ({ ids, lossFrom }: TokenSequence): number =>
  Math.max(0, ids.length - Math.max(1, lossFrom))

/** Lays out up to `batch` sequences; missing ones are padding that nothing selects. Row of token t of sequence b: t·batch + b. */
export function layOut(sequences: readonly TokenSequence[], batch: number): SequenceBatch {
  if (sequences.length > batch) throw new RangeError(`expected at most ${batch} sequences, got ${sequences.length}`)
  // The last token is predicted, never fed.
  const time = Math.max(1, ...sequences.map(({ ids }) => ids.length - 1))
  const tokens = time * batch
  const selected = sequences.reduce((sum, sequence) => sum + predictedTokens(sequence), 0)
  const inputIds = new Int32Array(tokens)
  const positions = Int32Array.from({ length: tokens }, (_, row) => Math.floor(row / batch))
  const select = new Int32Array(selected)
  const owners = new Int32Array(selected)
  const targets = new BigInt64Array(selected)
  let at = 0
  for (const [b, { ids, lossFrom }] of sequences.entries()) {
    for (let t = 0; t + 1 < ids.length; t++) inputIds[t * batch + b] = ids[t] as number
    for (let next = Math.max(1, lossFrom); next < ids.length; next++, at++) {
      select[at] = (next - 1) * batch + b
      owners[at] = b
      targets[at] = BigInt(ids[next] as number)
    }
  }
  return {
    tokens,
    time,
    selected,
    owners,
    feeds: {
      input_ids: { dtype: 'int32', shape: [tokens], data: inputIds },
      positions: { dtype: 'int32', shape: [tokens], data: positions },
      select: { dtype: 'int32', shape: [selected], data: select },
      targets: { dtype: 'int64', shape: [selected], data: targets },
      attention_mask: { dtype: 'float32', shape: [time, time], data: causalMask(time) },
    },
  }
}

/** Not minus infinity: a row of nothing but that would give NaN. */
const masked = -1e9

function causalMask(time: number): Float32Array {
  const mask = new Float32Array(time * time)
  for (let row = 0; row < time; row++) mask.fill(masked, row * time + row + 1, (row + 1) * time)
  return mask
}

/** What scales each rank of a sequence: `scaling` on the first `rank` of them, nothing on the others (section 4 of the paper). */
export const cutDiagonal = (rank: number, scaling: number): readonly number[] => Array<number>(rank).fill(scaling)

/**
 * The mask [tokens, rank] of a batch whose sequence b scales its ranks by `diagonals[b]`, 0 beyond its end;
 * `rank` is the length of the longest. Time-major, like the batch.
 */
export function loraMask(
  tokens: number,
  rank: number,
  diagonals: readonly (readonly number[])[],
): TensorData<Float32Array> {
  const data = new Float32Array(tokens * rank)
  for (let row = 0; row < tokens; row++) data.set(diagonals[row % diagonals.length] as readonly number[], row * rank)
  return { dtype: 'float32', shape: [tokens, rank], data }
}
