/** The cache of keys and values: one tensor a layer for each, [slots, heads, capacity, headSize], written in place. */
import type { NativeSession } from '../onnx/native/session.ts'
import type { NativeTensor } from '../onnx/native/tensor.ts'

export interface CacheShape {
  readonly layers: number
  readonly slots: number
  readonly heads: number
  /** Positions of a slot. */
  readonly capacity: number
  readonly headSize: number
  readonly dtype: 'float32' | 'float16'
}

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

  close(): void {
    for (const tensor of this.#layers.flat()) tensor.close()
  }
}
