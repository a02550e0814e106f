/** The cache of keys and values: one tensor a layer for each, [slots, heads, capacity, headSize], written in place. */
import { type ElementArray, elementArray } from '../onnx/native/element-type.ts'
import type { NativeSession } from '../onnx/native/session.ts'
import { elements, type NativeTensor } from '../onnx/native/tensor.ts'

export interface CacheShape {
  readonly layers: number
  readonly slots: number
  readonly heads: number
  /** Positions of a slot. */
  readonly capacity: number
  readonly headSize: number
  readonly dtype: 'float32' | 'float16'
}

/** Keys and values in the cache's own element type. */
export type CacheValues = ElementArray<'float32' | 'float16'>

export class KvCache {
  readonly shape: CacheShape
  /** Key and value of each layer. */
  readonly #layers: readonly (readonly [key: NativeTensor, value: NativeTensor])[]

  constructor(session: NativeSession, shape: CacheShape) {
    const { layers, slots, heads, capacity, headSize, dtype } = shape
    const allocate = () => session.allocate(dtype, [slots, heads, capacity, headSize], 'device')
    this.shape = shape
    this.#layers = Array.from({ length: layers }, () => [allocate(), allocate()] as const)
  }

  get bytes(): number {
    return this.#layers.flat().reduce((sum, { byteLength }) => sum + byteLength, 0)
  }

  /** Slots first..first+count of every layer, without a copy. */
  slots(first: number, count: number): (readonly [key: NativeTensor, value: NativeTensor])[] {
    const { heads, capacity, headSize } = this.shape
    const offset = first * heads * capacity * headSize
    const view = (tensor: NativeTensor) => tensor.view(offset, [count, heads, capacity, headSize])
    return this.#layers.map(([key, value]) => [view(key), view(value)] as const)
  }

  /** Copies positions first..end of each head from slot `from` to slot `to`. Host memory only. */
  copySlot(from: number, to: number, first: number, end: number): void {
    const { heads, capacity, headSize } = this.shape
    for (const { data } of this.#layers.flat()) {
      for (let head = 0; head < heads; head++) {
        const source = (from * heads + head) * capacity
        const target = (to * heads + head) * capacity + first
        data.copyWithin(target * headSize, (source + first) * headSize, (source + end) * headSize)
      }
    }
  }

  /** Bytes of a position of a slot, over all layers. */
  get bytesPerToken(): number {
    return this.bytes / (this.shape.slots * this.shape.capacity)
  }

  /** A copy of positions first..end of a slot: [layers, 2, heads, end - first, headSize]. Host memory only. */
  copyOut(slot: number, first: number, end: number): CacheValues {
    const { layers, heads, headSize, dtype } = this.shape
    const length = elements([layers, 2, heads, end - first, headSize])
    const values = elementArray(dtype, new ArrayBuffer(this.bytesPerToken * (end - first)), 0, length)
    this.#eachHead(slot, first, end, (data, from, to, at) => values.set(data.subarray(from, to), at))
    return values
  }

  /** Writes what `copyOut` gave to positions from `first` on. Host memory only. */
  copyIn(slot: number, first: number, values: CacheValues): void {
    const { layers, heads, headSize } = this.shape
    const count = values.length / elements([layers, 2, heads, headSize])
    this.#eachHead(slot, first, first + count, (data, from, to, at) =>
      data.set(values.subarray(at, at + to - from), from),
    )
  }

  /** Visits the run of elements of each head, and where it is in a copy. */
  #eachHead(
    slot: number,
    first: number,
    end: number,
    visit: (data: CacheValues, from: number, to: number, at: number) => void,
  ): void {
    const { heads, capacity, headSize } = this.shape
    const length = (end - first) * headSize
    for (const [tensor, { data }] of this.#layers.flat().entries()) {
      for (let head = 0; head < heads; head++) {
        const from = ((slot * heads + head) * capacity + first) * headSize
        visit(data as CacheValues, from, from + length, (tensor * heads + head) * length)
      }
    }
  }

  close(): void {
    for (const tensor of this.#layers.flat()) tensor.close()
  }
}
