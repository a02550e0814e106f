/**
 * Tensors over memory that the runtime reads and writes in place.
 *
 * A tensor is a description: element type, shape, and a place in a block of memory. A host tensor holds nothing native
 * and needs no `close`; a device tensor holds its memory until it is closed. A binding keeps the memory of the tensors
 * that are bound to it, whatever happens to the tensors.
 */
import { type DType, formatType, staticSize } from '../tensor-type.ts'
import { bytesPerElement, type ElementArray, elementArray, isElementArray } from './element-type.ts'
import { type Block, HostBlock } from './memory.ts'

/** A cache line, and large enough for any vector instruction. */
const alignment = 64

interface Place {
  readonly block: Block
  readonly byteOffset: number
}

export class NativeTensor<D extends DType = DType> {
  readonly dtype: D
  readonly shape: readonly number[]
  /** Number of elements. */
  readonly size: number
  readonly #place: Place
  readonly #isView: boolean
  #data: ElementArray<D> | null = null

  /** Not for callers: tensors come from `session.allocate`, `hostTensor`, `wrapHost` and `view`. */
  constructor(dtype: D, shape: readonly number[], place: Place, isView = false) {
    this.dtype = dtype
    this.shape = [...shape]
    this.size = elements(shape)
    this.#place = place
    this.#isView = isView
  }

  get where(): 'host' | 'device' {
    return this.#place.block.buffer === null ? 'device' : 'host'
  }

  get byteLength(): number {
    return this.size * bytesPerElement(this.dtype)
  }

  /** Where the elements are; throws a TypeError once the tensor that owns the memory is closed. */
  get place(): Place {
    if (!this.#place.block.open)
      throw new TypeError(`expected an open tensor, got a closed or transferred one: ${this}`)
    return this.#place
  }

  /** The elements themselves, not a copy; bits for float16, bytes for bool. Throws a TypeError where they lie on a device. */
  get data(): ElementArray<D> {
    const { block, byteOffset } = this.place
    if (block.buffer === null) throw new TypeError(`expected a tensor on the host, got ${this} on a device`)
    this.#data ??= elementArray(this.dtype, block.buffer, byteOffset, this.size)
    return this.#data
  }

  /**
   * A tensor over part of this one's memory, without a copy: `shape` elements of the same type from `elementOffset` on.
   * Views close with the tensor that owns the memory. Throws a RangeError where the part does not fit.
   */
  view(elementOffset: number, shape: readonly number[]): NativeTensor<D> {
    const { block, byteOffset } = this.place
    const end = elementOffset + elements(shape)
    if (!Number.isInteger(elementOffset) || elementOffset < 0 || end > this.size) {
      throw new RangeError(`expected a view within 0..${this.size} of ${this}, got ${elementOffset}..${end}`)
    }
    const start = byteOffset + elementOffset * bytesPerElement(this.dtype)
    return new NativeTensor(this.dtype, shape, { block, byteOffset: start }, true)
  }

  /** Gives the memory back; this tensor and all views throw from now on. Does nothing for a view. Idempotent. */
  close(): void {
    if (!this.#isView) this.#place.block.close()
    this.#data = null
  }

  toString(): string {
    return formatType(this)
  }
}

/** A tensor of zeros in host memory. */
export function hostTensor<D extends DType>(dtype: D, shape: readonly number[]): NativeTensor<D> {
  const block = new HostBlock(new ArrayBuffer(elements(shape) * bytesPerElement(dtype) + alignment))
  const byteOffset = Number(-block.address & BigInt(alignment - 1))
  return new NativeTensor(dtype, shape, { block, byteOffset })
}

/**
 * A tensor over the elements of a typed array, without a copy: what is written to one is seen in the other. The array's
 * buffer must stay this thread's. Throws a TypeError or RangeError where array, type and shape do not fit.
 */
export function wrapHost<D extends DType>(data: ElementArray<D>, dtype: D, shape: readonly number[]): NativeTensor<D> {
  if (!isElementArray(data, dtype)) throw new TypeError(`expected an array for ${dtype}, got ${data.constructor.name}`)
  if (data.length !== elements(shape)) {
    throw new RangeError(`expected ${elements(shape)} elements for ${formatType({ dtype, shape })}, got ${data.length}`)
  }
  // Small arrays lie on V8's heap, which moves things; asking for the buffer moves them off it for good.
  const { buffer, byteOffset } = data
  if (!(buffer instanceof ArrayBuffer) || ('resizable' in buffer && buffer.resizable)) {
    throw new TypeError('expected an array over a plain ArrayBuffer, got a shared or resizable one')
  }
  return new NativeTensor(dtype, shape, { block: new HostBlock(buffer), byteOffset })
}

/** The number of elements; throws a RangeError for what is no shape. */
export function elements(shape: readonly number[]): number {
  const size = staticSize(shape) ?? Number.NaN
  if (Number.isSafeInteger(size) && shape.every((dim) => Number.isInteger(dim) && dim >= 0)) return size
  throw new RangeError(`expected a shape of whole numbers, got [${shape.join(', ')}]`)
}
