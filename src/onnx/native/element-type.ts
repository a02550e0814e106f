/** Element types as typed arrays. float16 is its bits, bool is bytes. */
import type { DType } from '../tensor-type.ts'

interface Arrays {
  float32: Float32Array
  float64: Float64Array
  float16: Uint16Array
  int32: Int32Array
  int64: BigInt64Array
  uint8: Uint8Array
  bool: Uint8Array
}

/** The typed array over elements of type `D`. */
export type ElementArray<D extends DType = DType> = Arrays[D]

const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const satisfies Readonly<Record<DType, unknown>>

export const bytesPerElement = (dtype: DType): number => arrays[dtype].BYTES_PER_ELEMENT

export function elementArray<D extends DType>(dtype: D, buffer: ArrayBuffer, offset: number, length: number) {
  return new arrays[dtype](buffer, offset, length) as ElementArray<D>
}

export const isElementArray = (array: ArrayBufferView, dtype: DType): boolean => array instanceof arrays[dtype]
