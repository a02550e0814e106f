/** The graph language: immutable values with fluent ops. A graph is whatever its outputs reach. */
import { type Attributes, inferTypes, type Op, type Ops } from './ops.ts'
import {
  type Dim,
  type DType,
  dimAt,
  formatShape,
  formatType,
  normalizeAxis,
  type Shape,
  staticSize,
  type TensorType,
} from './tensor-type.ts'

export type NumericData = Float32Array | Float64Array | Int32Array | BigInt64Array | Uint8Array | Uint16Array

/** Where in a file the bytes of an initializer lie; `location` is relative to the model's directory. */
export interface ExternalData {
  readonly location: string
  readonly offset: number
  readonly length: number
}

/** What feeds a graph: an input, given at each run, or an initializer, part of the model. */
export type Leaf =
  | { readonly kind: 'input'; readonly name: string }
  | {
      readonly kind: 'initializer'
      readonly name: string | null
      readonly data: NumericData | ExternalData
    }

export interface Node<O extends Op = Op> {
  readonly kind: 'node'
  readonly op: O
  readonly inputs: readonly Value[]
  readonly attributes: Attributes<O>
  readonly types: readonly TensorType[]
  /** Path in the model, such as `h.0/attn`; names of nodes start with it. */
  readonly scope: string
}

const scopes: string[] = []

/** Names what `build` makes: nodes get `name/` before theirs, so that errors and profiles point to a place in the model. */
export function scope<T>(name: string, build: () => T): T {
  scopes.push(name)
  try {
    return build()
  } finally {
    scopes.pop()
  }
}

/** An op with its inputs and attributes; its outputs are values. Types are inferred, mismatches throw. */
function apply<O extends Op>(op: O, inputs: Ops<Value>[O]['inputs'], attributes: Attributes<O>): Value[] {
  const operands: readonly Value[] = inputs
  const types = explain(op, operands, () =>
    inferTypes[op](operands as unknown as Ops<TensorType>[O]['inputs'], attributes),
  )
  const node: Node<O> = {
    kind: 'node',
    op,
    inputs: operands,
    attributes,
    types,
    scope: scopes.join('/'),
  }
  return types.map((type, index) => new Value(node as unknown as Node, index, type))
}

/** Says which op and which operands a mismatch was about. */
function explain<T>(op: Op, operands: readonly Value[], infer: () => T): T {
  try {
    return infer()
  } catch (error) {
    const place = [...scopes, op].join('/')
    const message = error instanceof Error ? error.message : String(error)
    throw new RangeError(`${place}(${operands.map(formatType).join(', ')}): ${message}`, { cause: error })
  }
}

function applyOne<O extends Op>(op: O, inputs: Ops<Value>[O]['inputs'], attributes: Attributes<O>): Value {
  const [value] = apply(op, inputs, attributes)
  if (value === undefined) throw new TypeError(`expected ${op} to have an output`)
  return value
}

export type Operand = Value | number

export class Value implements TensorType {
  readonly producer: Node | Leaf
  /** Which output of its producer this is. */
  readonly index: number
  readonly dtype: DType
  readonly shape: Shape

  constructor(producer: Node | Leaf, index: number, { dtype, shape }: TensorType) {
    this.producer = producer
    this.index = index
    this.dtype = dtype
    this.shape = shape
  }

  /** A number meets a value and becomes a scalar of its type. */
  #operand(other: Operand): Value {
    return typeof other === 'number' ? constant(other, this.dtype) : other
  }

  add(other: Operand): Value {
    return applyOne('Add', [this, this.#operand(other)], {})
  }

  sub(other: Operand): Value {
    return applyOne('Sub', [this, this.#operand(other)], {})
  }

  mul(other: Operand): Value {
    return applyOne('Mul', [this, this.#operand(other)], {})
  }

  div(other: Operand): Value {
    return applyOne('Div', [this, this.#operand(other)], {})
  }

  neg(): Value {
    return applyOne('Neg', [this], {})
  }

  exp(): Value {
    return applyOne('Exp', [this], {})
  }

  log(): Value {
    return applyOne('Log', [this], {})
  }

  sqrt(): Value {
    return applyOne('Sqrt', [this], {})
  }

  tanh(): Value {
    return applyOne('Tanh', [this], {})
  }

  sigmoid(): Value {
    return applyOne('Sigmoid', [this], {})
  }

  erf(): Value {
    return applyOne('Erf', [this], {})
  }

  relu(): Value {
    return applyOne('Relu', [this], {})
  }

  gelu(approximate: 'none' | 'tanh'): Value {
    return applyOne('Gelu', [this], { approximate })
  }

  identity(): Value {
    return applyOne('Identity', [this], {})
  }

  cast(to: DType): Value {
    return to === this.dtype ? this : applyOne('Cast', [this], { to })
  }

  /** This where `condition` holds, `other` elsewhere. */
  where(condition: Value, other: Operand): Value {
    return applyOne('Where', [condition, this, this.#operand(other)], {})
  }

  sum(axes: readonly number[], keepdims = false): Value {
    return applyOne('ReduceSum', [this], { axes, keepdims })
  }

  mean(axes: readonly number[], keepdims = false): Value {
    return applyOne('ReduceMean', [this], { axes, keepdims })
  }

  max(axes: readonly number[], keepdims = false): Value {
    return applyOne('ReduceMax', [this], { axes, keepdims })
  }

  matmul(other: Value): Value {
    return applyOne('MatMul', [this, other], {})
  }

  fusedMatmul(other: Value, flags: Partial<Attributes<'FusedMatMul'>> = {}): Value {
    return applyOne('FusedMatMul', [this, other], {
      alpha: flags.alpha ?? 1,
      transA: flags.transA ?? false,
      transB: flags.transB ?? false,
      transBatchA: flags.transBatchA ?? false,
      transBatchB: flags.transBatchB ?? false,
    })
  }

  /** alpha · op(this) op(other) + bias, over matrices. */
  gemm(other: Value, { bias, ...flags }: Partial<Attributes<'Gemm'>> & { bias?: Value | undefined } = {}): Value {
    return applyOne('Gemm', bias === undefined ? [this, other] : [this, other, bias], {
      alpha: flags.alpha ?? 1,
      transA: flags.transA ?? false,
      transB: flags.transB ?? false,
    })
  }

  /** this · Wᵀ for a quantised weight; see {@link Ops.MatMulNBits}. */
  matmulNBits(weight: Value, scales: Value, attributes: Attributes<'MatMulNBits'>): Value {
    return applyOne('MatMulNBits', [this, weight, scales], attributes)
  }

  transpose(perm: readonly number[]): Value {
    return applyOne('Transpose', [this], { perm })
  }

  /**
   * Other dimensions, same elements. One name may be unknown to the runtime; a name that stands at the same axis
   * before and after is copied; any further one needs its value (int64 [1]) in `dims`.
   */
  reshape(shape: Shape, dims: Readonly<Record<string, Value>> = {}): Value {
    return applyOne('Reshape', [this, runtimeShape(this.shape, shape, dims)], { shape })
  }

  /** Stretched to the shape of another value. */
  expandLike(other: Value): Value {
    return applyOne('Expand', [this, other.shapeValue()], { shape: other.shape })
  }

  /** The shape as int64, for one axis or all. */
  shapeValue(start = 0, end = this.shape.length): Value {
    return applyOne('Shape', [this], { start, end })
  }

  /** One dimension as int64 [1]. */
  dim(axis: number): Value {
    const at = normalizeAxis(axis, this.shape.length)
    return this.shapeValue(at, at + 1)
  }

  unsqueeze(axis: number): Value {
    const at = normalizeAxis(axis, this.shape.length + 1)
    return this.reshape(this.shape.toSpliced(at, 0, 1), namedDims(this))
  }

  split(axis: number, parts: number): Value[] {
    return apply('Split', [this], { axis, parts })
  }

  slice(axis: number, start: number, end: number): Value {
    return applyOne('Slice', [this], { axis, start, end })
  }

  pad(axis: number, before: number, after: number): Value {
    return applyOne('Pad', [this], { axis, before, after })
  }

  gather(indices: Value, axis = 0): Value {
    return applyOne('Gather', [this, indices], { axis })
  }

  gatherElements(indices: Value, axis: number): Value {
    return applyOne('GatherElements', [this, indices], { axis })
  }

  scatterElements(indices: Value, updates: Value, axis: number): Value {
    return applyOne('ScatterElements', [this, indices, updates], { axis, reduction: 'add' })
  }

  scatterND(indices: Value, updates: Value): Value {
    return applyOne('ScatterND', [this, indices, updates], { reduction: 'add' })
  }

  zerosLike(): Value {
    return applyOne('ConstantOfShape', [this.shapeValue()], { dtype: this.dtype, shape: this.shape })
  }

  /** The k highest along the last axis, and where they are; see {@link Ops.TopK}. */
  topK(k: number): { readonly values: Value; readonly indices: Value } {
    const [values, indices] = apply('TopK', [this], { axis: -1, k })
    if (!(values && indices)) throw new TypeError('expected two outputs of TopK')
    return { values, indices }
  }

  softmax(axis = -1): Value {
    return applyOne('Softmax', [this], { axis })
  }

  logSoftmax(axis = -1): Value {
    return applyOne('LogSoftmax', [this], { axis })
  }

  layerNormalization(scale: Value, bias: Value, epsilon: number): Value {
    return applyOne('LayerNormalization', [this, scale, bias], { axis: -1, epsilon })
  }

  /** See {@link Ops.SoftmaxCrossEntropy}. */
  softmaxCrossEntropy(targets: Value, weights: Value, labelSmoothing = 0): Value {
    return applyOne('SoftmaxCrossEntropy', [this, targets, weights], { labelSmoothing })
  }
}

/** What is fed at each run. */
export function input(name: string, dtype: DType, shape: Shape): Value {
  return new Value({ kind: 'input', name }, 0, { dtype, shape })
}

/** A named weight, inside the model or in a file beside it. */
export function initializer(name: string, type: TensorType, data: NumericData | ExternalData): Value {
  return new Value({ kind: 'initializer', name, data }, 0, type)
}

const packers: Readonly<Record<DType, (values: readonly number[]) => NumericData>> = {
  float32: (values) => Float32Array.from(values),
  float64: (values) => Float64Array.from(values),
  float16: () => {
    throw new TypeError('expected a constant of another type than float16: cast a float32 one')
  },
  int32: (values) => Int32Array.from(values),
  int64: (values) => BigInt64Array.from(values, BigInt),
  uint8: (values) => Uint8Array.from(values),
  bool: (values) => Uint8Array.from(values),
}

/** A constant scalar, or a tensor of the given shape. */
export function constant(value: number | readonly number[], dtype: DType, shape?: readonly number[]): Value {
  const values = typeof value === 'number' ? [value] : value
  const type = {
    dtype,
    shape: shape ?? (typeof value === 'number' ? [] : [values.length]),
  }
  if (staticSize(type.shape) !== values.length) {
    throw new RangeError(
      `expected ${staticSize(type.shape)} values for ${formatShape(type.shape)}, got ${values.length}`,
    )
  }
  return new Value({ kind: 'initializer', name: null, data: packers[dtype](values) }, 0, type)
}

export function concat(values: readonly Value[], axis: number): Value {
  return applyOne('Concat', [...values], { axis })
}

/** The sum of one or more values of one shape. */
export function sum(values: readonly Value[]): Value {
  const [first, ...rest] = values
  if (first === undefined) throw new RangeError('expected at least one value to sum, got none')
  return rest.length === 0 ? first : applyOne('Sum', [...values], {})
}

/** Attention over a cache that is written in place (`com.microsoft`); returns output, present key, present value. */
export function groupQueryAttention(
  inputs: Ops<Value>['GroupQueryAttention']['inputs'],
  attributes: Attributes<'GroupQueryAttention'>,
): [Value, Value, Value] {
  const [output, presentKey, presentValue] = apply('GroupQueryAttention', inputs, attributes)
  if (!(output && presentKey && presentValue)) throw new TypeError('expected three outputs of GroupQueryAttention')
  return [output, presentKey, presentValue]
}

/** Every named dimension of a value with its run-time size. */
function namedDims(value: Value): Record<string, Value> {
  const named = value.shape.flatMap((dim, axis) => (typeof dim === 'string' ? [[dim, value.dim(axis)] as const] : []))
  return Object.fromEntries(named)
}

/** The shape that Reshape reads: constants where they are known, 0 copies an axis, -1 is what is left. */
function runtimeShape(from: Shape, to: Shape, dims: Readonly<Record<string, Value>>): Value {
  const code = (dim: Dim, axis: number): number | string =>
    typeof dim === 'number' ? dim : from[axis] === dim ? 0 : dim
  const codes = to.map(code)
  const unknown = codes.filter((dim) => typeof dim === 'string')
  if (unknown.length <= 1) {
    return constant(
      codes.map((dim) => (typeof dim === 'string' ? -1 : dim)),
      'int64',
    )
  }
  const inferred = unknown.find((dim) => !(dim in dims))
  const missing = unknown.filter((dim) => !(dim in dims) && dim !== inferred)
  if (missing.length > 0) {
    throw new RangeError(`cannot reshape ${formatShape(from)} to ${formatShape(to)}: ${missing.join(', ')} unknown`)
  }
  const part = (dim: number | string) =>
    typeof dim === 'number'
      ? constant([dim], 'int64')
      : dim === inferred
        ? constant([-1], 'int64')
        : (dims[dim] as Value)
  return concat(codes.map(part), 0)
}

/** The size of an axis that must be known when the graph is written. */
export function knownDim(value: Value, axis: number): number {
  const dim = dimAt(value.shape, axis)
  if (typeof dim !== 'number') throw new RangeError(`expected a known size at axis ${axis} of ${formatType(value)}`)
  return dim
}
