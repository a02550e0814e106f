/** Every op that the language speaks: inputs and attributes as ONNX names them, and the type of what comes out. */
import {
  broadcast,
  type Dim,
  type DType,
  dimAt,
  formatShape,
  normalizeAxis,
  type Shape,
  sameShape,
  staticSize,
  type TensorType,
} from './tensor-type.ts'

type None = Readonly<Record<never, never>>

/**
 * The table of ops over any kind of operand `T`: values when authoring, types when inferring.
 * Ops of the `com.microsoft` domain and those that are lowered before they reach ONNX are marked in {@link domains} and `lowering.ts`.
 */
export interface Ops<T> {
  Add: { inputs: [T, T]; attributes: None }
  Sub: { inputs: [T, T]; attributes: None }
  Mul: { inputs: [T, T]; attributes: None }
  Div: { inputs: [T, T]; attributes: None }
  Neg: { inputs: [T]; attributes: None }
  Exp: { inputs: [T]; attributes: None }
  Log: { inputs: [T]; attributes: None }
  Sqrt: { inputs: [T]; attributes: None }
  Tanh: { inputs: [T]; attributes: None }
  Sigmoid: { inputs: [T]; attributes: None }
  Erf: { inputs: [T]; attributes: None }
  Relu: { inputs: [T]; attributes: None }
  Gelu: { inputs: [T]; attributes: { approximate: 'none' | 'tanh' } }
  Cast: { inputs: [T]; attributes: { to: DType } }
  Identity: { inputs: [T]; attributes: None }
  Where: { inputs: [T, T, T]; attributes: None }
  Sum: { inputs: T[]; attributes: None }
  ReduceSum: {
    inputs: [T]
    attributes: { axes: readonly number[]; keepdims: boolean }
  }
  ReduceMean: {
    inputs: [T]
    attributes: { axes: readonly number[]; keepdims: boolean }
  }
  ReduceMax: {
    inputs: [T]
    attributes: { axes: readonly number[]; keepdims: boolean }
  }
  MatMul: { inputs: [T, T]; attributes: None }
  FusedMatMul: {
    inputs: [T, T]
    attributes: {
      alpha: number
      transA: boolean
      transB: boolean
      transBatchA: boolean
      transBatchB: boolean
    }
  }
  Gemm: {
    inputs: [T, T] | [T, T, T]
    attributes: { alpha: number; transA: boolean; transB: boolean }
  }
  /**
   * x [.., K] times the transpose of a weight [N, K] whose values come `bits` each, in blocks of `blockSize` along K that
   * share a scale: weight uint8 [N, K/blockSize, blockSize·bits/8], scales float32 [N, K/blockSize]; the stored value
   * 2^(bits-1) is zero. Accuracy level 4 rounds x to int8 by blocks.
   */
  MatMulNBits: {
    inputs: [T, T, T]
    attributes: { inFeatures: number; outFeatures: number; bits: 4 | 8; blockSize: number; accuracyLevel: 0 | 4 }
  }
  Transpose: { inputs: [T]; attributes: { perm: readonly number[] } }
  /** The second input gives the shape when the graph runs; `shape` is what is known of it when it is written. */
  Reshape: { inputs: [T, T]; attributes: { shape: Shape } }
  Expand: { inputs: [T, T]; attributes: { shape: Shape } }
  Shape: { inputs: [T]; attributes: { start: number; end: number } }
  Concat: { inputs: T[]; attributes: { axis: number } }
  Split: { inputs: [T]; attributes: { axis: number; parts: number } }
  Slice: {
    inputs: [T]
    attributes: { axis: number; start: number; end: number }
  }
  /** Zeros after the last element of `axis`. */
  Pad: {
    inputs: [T]
    attributes: { axis: number; before: number; after: number }
  }
  Gather: { inputs: [T, T]; attributes: { axis: number } }
  GatherElements: { inputs: [T, T]; attributes: { axis: number } }
  ScatterElements: {
    inputs: [T, T, T]
    attributes: { axis: number; reduction: 'add' }
  }
  ScatterND: { inputs: [T, T, T]; attributes: { reduction: 'add' } }
  ConstantOfShape: { inputs: [T]; attributes: { dtype: DType; shape: Shape } }
  /** Outputs the k highest along the axis, highest first, of equals the first first; and int64 where they are. */
  TopK: { inputs: [T]; attributes: { axis: number; k: number } }
  Softmax: { inputs: [T]; attributes: { axis: number } }
  LogSoftmax: { inputs: [T]; attributes: { axis: number } }
  /** Inputs x, scale, bias; outputs y, mean and inverse standard deviation over the last axis. */
  LayerNormalization: {
    inputs: [T, T, T]
    attributes: { axis: number; epsilon: number }
  }
  /**
   * logits [rows, classes], targets int64 [rows], weights [rows, 1] -> the weighted sum of the rows' losses, a scalar.
   * Label smoothing as in Szegedy et al. 2016: (1-e)·nll + e·mean over classes of -log p.
   */
  SoftmaxCrossEntropy: {
    inputs: [T, T, T]
    attributes: { labelSmoothing: number }
  }
  /** query, key, value [batch, S, heads·headSize], past key, past value, seqlens_k, total_sequence_length. */
  GroupQueryAttention: {
    inputs: [T, T, T, T, T, T, T]
    attributes: { numHeads: number; kvNumHeads: number; scale: number }
  }
}

export type Op = keyof Ops<unknown>
export type Attributes<O extends Op> = Ops<unknown>[O]['attributes']

/** Ops that are not in ONNX's own domain. */
export const domains: Partial<Record<Op, string>> = {
  FusedMatMul: 'com.microsoft',
  MatMulNBits: 'com.microsoft',
  GroupQueryAttention: 'com.microsoft',
}

type Infer<O extends Op> = (inputs: Ops<TensorType>[O]['inputs'], attributes: Attributes<O>) => readonly TensorType[]

const same = ([x]: [TensorType]): TensorType[] => [x]

function elementwise([a, b]: [TensorType, TensorType]): TensorType[] {
  return [{ dtype: agree(a, b), shape: broadcast(a.shape, b.shape) }]
}

function agree(a: TensorType, b: TensorType): DType {
  if (a.dtype !== b.dtype) throw new TypeError(`expected operands of one type, got ${a.dtype} and ${b.dtype}`)
  return a.dtype
}

function reduce([x]: [TensorType], { axes, keepdims }: { axes: readonly number[]; keepdims: boolean }): TensorType[] {
  const reduced = new Set(axes.map((axis) => normalizeAxis(axis, x.shape.length)))
  const shape = x.shape.flatMap((dim, i) => (reduced.has(i) ? (keepdims ? [1] : []) : [dim]))
  return [{ dtype: x.dtype, shape }]
}

const swapLast = (shape: Shape): Shape => [...shape.slice(0, -2), dimAt(shape, -1), dimAt(shape, -2)]

/** [d0, batch…, last] -> [batch…, d0, last]: what `transBatch` does before the product. */
const batchFirst = (shape: Shape): Shape => [...shape.slice(1, -1), dimAt(shape, 0), dimAt(shape, -1)]

function product(a: TensorType, b: TensorType, left: Shape, right: Shape): TensorType[] {
  if (dimAt(left, -1) !== dimAt(right, -2)) {
    throw new RangeError(`cannot multiply ${formatShape(left)} by ${formatShape(right)}: inner dimensions differ`)
  }
  const batch = broadcast(left.slice(0, -2), right.slice(0, -2))
  return [
    {
      dtype: agree(a, b),
      shape: [...batch, dimAt(left, -2), dimAt(right, -1)],
    },
  ]
}

function concat(inputs: readonly TensorType[], axis: number): TensorType[] {
  const [first] = inputs
  if (first === undefined) throw new RangeError('expected at least one input to concatenate, got none')
  const at = normalizeAxis(axis, first.shape.length)
  const dims = inputs.map(({ shape }) => dimAt(shape, at))
  const known = dims.every((dim): dim is number => typeof dim === 'number')
  const total: Dim = known ? dims.reduce((sum, dim) => sum + dim, 0) : dims.join('+')
  return [{ dtype: first.dtype, shape: first.shape.with(at, total) }]
}

function resize({ dtype, shape }: TensorType, axis: number, size: (dim: number) => number): TensorType[] {
  const dim = dimAt(shape, axis)
  if (typeof dim === 'string') throw new RangeError(`expected a known size at axis ${axis}, got ${formatShape(shape)}`)
  return [{ dtype, shape: shape.with(normalizeAxis(axis, shape.length), size(dim)) }]
}

/** A reshape of known size must keep it. */
function reshaped([x]: [TensorType, TensorType], { shape }: { shape: Shape }): TensorType[] {
  const [from, to] = [staticSize(x.shape), staticSize(shape)]
  if (from !== null && to !== null && from !== to) {
    throw new RangeError(`cannot reshape ${formatShape(x.shape)} to ${formatShape(shape)}: ${from} and ${to} elements`)
  }
  return [{ dtype: x.dtype, shape }]
}

/** The types of an op's outputs from those of its inputs; a mismatch throws where the author wrote it. */
export const inferTypes: { readonly [O in Op]: Infer<O> } = {
  Add: elementwise,
  Sub: elementwise,
  Mul: elementwise,
  Div: elementwise,
  Neg: same,
  Exp: same,
  Log: same,
  Sqrt: same,
  Tanh: same,
  Sigmoid: same,
  Erf: same,
  Relu: same,
  Gelu: same,
  Cast: ([x], { to }) => [{ dtype: to, shape: x.shape }],
  Identity: same,
  Where: ([condition, a, b]) => [
    {
      dtype: agree(a, b),
      shape: broadcast(condition.shape, broadcast(a.shape, b.shape)),
    },
  ],
  Sum: (inputs) => [
    inputs.reduce((a, b) => ({
      dtype: agree(a, b),
      shape: broadcast(a.shape, b.shape),
    })),
  ],
  ReduceSum: reduce,
  ReduceMean: reduce,
  ReduceMax: reduce,
  MatMul: ([a, b]) => product(a, b, a.shape, b.shape),
  FusedMatMul: ([a, b], { transA, transB, transBatchA, transBatchB }) => {
    const left = transBatchA ? batchFirst(a.shape) : a.shape
    const right = transBatchB ? batchFirst(b.shape) : b.shape
    return product(a, b, transA ? swapLast(left) : left, transB ? swapLast(right) : right)
  },
  Gemm: ([a, b, c], { transA, transB }) => {
    const out = product(a, b, transA ? swapLast(a.shape) : a.shape, transB ? swapLast(b.shape) : b.shape)
    if (c !== undefined && out[0] !== undefined) broadcast(out[0].shape, c.shape)
    return out
  },
  MatMulNBits: ([x, weight, scales], { inFeatures, outFeatures, bits, blockSize }) => {
    const blocks = inFeatures / blockSize
    const expected = [
      [outFeatures, blocks, (blockSize * bits) / 8],
      [outFeatures, blocks],
    ] as const
    if (
      dimAt(x.shape, -1) !== inFeatures ||
      !sameShape(weight.shape, expected[0]) ||
      !sameShape(scales.shape, expected[1])
    ) {
      throw new RangeError(
        `expected [.., ${inFeatures}], ${expected.map(formatShape).join(' and ')}, got ${[x, weight, scales].map(({ shape }) => formatShape(shape)).join(', ')}`,
      )
    }
    return [{ dtype: x.dtype, shape: x.shape.with(-1, outFeatures) }]
  },
  Transpose: ([x], { perm }) => [{ dtype: x.dtype, shape: perm.map((axis) => dimAt(x.shape, axis)) }],
  Reshape: reshaped,
  Expand: ([x], { shape }) => [{ dtype: x.dtype, shape: broadcast(x.shape, shape) }],
  Shape: (_, { start, end }) => [{ dtype: 'int64', shape: [end - start] }],
  Concat: (inputs, { axis }) => concat(inputs, axis),
  Split: ([x], { axis, parts }) => Array.from({ length: parts }, () => resize(x, axis, (dim) => dim / parts)).flat(),
  Slice: ([x], { axis, start, end }) => resize(x, axis, (dim) => Math.min(end, dim) - start),
  Pad: ([x], { axis, before, after }) => resize(x, axis, (dim) => dim + before + after),
  Gather: ([data, indices], { axis }) => {
    const at = normalizeAxis(axis, data.shape.length)
    return [
      {
        dtype: data.dtype,
        shape: [...data.shape.slice(0, at), ...indices.shape, ...data.shape.slice(at + 1)],
      },
    ]
  },
  GatherElements: ([data, indices]) => [{ dtype: data.dtype, shape: indices.shape }],
  ScatterElements: ([data]) => [data],
  ScatterND: ([data]) => [data],
  ConstantOfShape: (_, { dtype, shape }) => [{ dtype, shape }],
  TopK: ([x], { axis, k }) => {
    const [values] = resize(x, axis, () => k)
    return values === undefined ? [] : [values, { dtype: 'int64', shape: values.shape }]
  },
  Softmax: same,
  LogSoftmax: same,
  LayerNormalization: ([x, scale, bias]) => {
    const width = x.shape.slice(-1)
    if (!sameShape(scale.shape, width) || !sameShape(bias.shape, width)) {
      throw new RangeError(
        `expected scale and bias of ${formatShape(width)}, got ${formatShape(scale.shape)}, ${formatShape(bias.shape)}`,
      )
    }
    const statistics: TensorType = {
      dtype: x.dtype,
      shape: [...x.shape.slice(0, -1), 1],
    }
    return [x, statistics, statistics]
  },
  SoftmaxCrossEntropy: ([logits]) => [{ dtype: logits.dtype, shape: [] }],
  GroupQueryAttention: ([query, , , pastKey, pastValue]) => [query, pastKey, pastValue],
}
