/** Tensors in a file by name, whatever the file's format; the values of each are read when they are asked for. */

export interface StoredTensor {
  readonly shape: readonly number[]
  /** `F32`, `BF16`, `I64` and so on. */
  readonly dtype: string
  /** Is it floating, so that `read` can give it? */
  readonly isFloat: boolean
  /** As float32, row-major. */
  readonly read: () => Promise<Float32Array>
}
export type StoredTensors = ReadonlyMap<string, StoredTensor>
