/**
 * The derivative of every op. A rule sees one node of the forward graph, its outputs and `dy` = ∂loss/∂y
 * (`dys`, one per output, for ops with several), and returns ∂loss/∂x for each input x, or null where no gradient flows.
 * Rules ignore broadcasting: `backward` sums each gradient down to the shape of its input.
 */
import { concat, constant, knownDim, type Value } from './graph.ts'
import type { Attributes, Op, Ops } from './ops.ts'
import { dimAt, normalizeAxis } from './tensor-type.ts'

interface GradientScope<O extends Op> {
  readonly inputs: Ops<Value>[O]['inputs']
  readonly attributes: Attributes<O>
  /** The first output and its gradient (zeros where only others have one). */
  readonly y: Value
  readonly dy: Value
  readonly outputs: readonly Value[]
  readonly dys: readonly (Value | null)[]
}

type OnePer<Items extends readonly unknown[]> = {
  readonly [I in keyof Items]: Value | null
}
export type GradientRule<O extends Op> = (scope: GradientScope<O>) => OnePer<Ops<Value>[O]['inputs']>

/** No gradient flows through these: their outputs are indices or shapes, or they serve inference only. */
const notDifferentiable = 'not differentiable'

// biome-ignore format: one line per rule reads as a table
export const gradientRules = {
  Add:       ({ dy }) => [dy, dy],
  Sub:       ({ dy }) => [dy, dy.neg()],
  Mul:       ({ dy, inputs: [a, b] }) => [dy.mul(b), dy.mul(a)],
  Div:       ({ dy, y, inputs: [, b] }) => [dy.div(b), dy.mul(y).div(b).neg()],
  Neg:       ({ dy }) => [dy.neg()],
  Exp:       ({ dy, y }) => [dy.mul(y)],
  Log:       ({ dy, inputs: [x] }) => [dy.div(x)],
  Sqrt:      ({ dy, y }) => [dy.div(y.mul(2))],
  Tanh:      ({ dy, y }) => [dy.sub(dy.mul(y).mul(y))],
  Sigmoid:   ({ dy, y }) => [dy.mul(y.sub(y.mul(y)))],
  Erf:       ({ dy, inputs: [x] }) => [dy.mul(x.mul(x).neg().exp()).mul(2 / Math.sqrt(Math.PI))],
  Relu:      ({ dy, y }) => [dy.where(y.cast('bool'), 0)],
  Gelu:      ({ dy, inputs: [x], attributes: { approximate } }) => [dy.mul(geluSlopes[approximate](x))],
  Cast:      ({ dy, inputs: [x] }) => [isFloat(x) ? dy.cast(x.dtype) : null],
  Identity:  ({ dy }) => [dy],
  Where:     ({ dy, inputs: [condition] }) => [null, dy.where(condition, 0), constant(0, dy.dtype).where(condition, dy)],
  Sum:       ({ dy, inputs }) => inputs.map(() => dy),
  ReduceSum: ({ dy, inputs: [x], attributes }) => [restoreAxes(dy, x, attributes)],
  ReduceMean: ({ dy, inputs: [x], attributes }) => [restoreAxes(dy, x, attributes).div(count(x, attributes.axes))],
  MatMul:    ({ dy, inputs: [a, b] }) => [dy.fusedMatmul(b, { transB: true }), a.fusedMatmul(dy, { transA: true })],
  FusedMatMul: fusedMatmulGradient,
  Gemm:      gemmGradient,
  MatMulNBits: notDifferentiable,
  Transpose: ({ dy, attributes: { perm } }) => [dy.transpose(inverse(perm))],
  Reshape:   ({ dy, inputs: [x] }) => [dy.reshape(x.shape, dimsOf(x)), null],
  Expand:    ({ dy }) => [dy, null],
  Shape:     notDifferentiable,
  Concat:    ({ dy, inputs, attributes: { axis } }) => slices(dy, inputs, axis),
  Split:     ({ dys, outputs, attributes: { axis } }) => [concat(outputs.map((y, i) => dys[i] ?? y.zerosLike()), axis)],
  Slice:     ({ dy, inputs: [x], attributes: { axis, start } }) => [dy.pad(axis, start, knownDim(x, axis) - knownDim(dy, axis) - start)],
  Pad:       ({ dy, attributes: { axis, before, after } }) => [dy.slice(axis, before, knownDim(dy, axis) - after)],
  Gather:    ({ dy, inputs: [data, indices], attributes: { axis } }) => [gatherGradient(dy, data, indices, axis), null],
  GatherElements: ({ dy, inputs: [data, indices], attributes: { axis } }) => [data.zerosLike().scatterElements(indices, dy, axis), null],
  ScatterElements: ({ dy, inputs: [, indices], attributes: { axis } }) => [dy, null, dy.gatherElements(indices, axis)],
  ScatterND: ({ dy, inputs: [, indices] }) => [dy, null, dy.gather(rows(indices))],
  ConstantOfShape: notDifferentiable,
  Softmax:   ({ dy, y, attributes: { axis } }) => [y.mul(dy.sub(dy.mul(y).sum([axis], true)))],
  LogSoftmax: ({ dy, y, attributes: { axis } }) => [dy.sub(y.exp().mul(dy.sum([axis], true)))],
  LayerNormalization: layerNormalizationGradient,
  SoftmaxCrossEntropy: crossEntropyGradient,
  ReduceMax: notDifferentiable,
  TopK: notDifferentiable,
  GroupQueryAttention: notDifferentiable,
} satisfies { readonly [O in Op]: GradientRule<O> | typeof notDifferentiable }

/** The ops that have a rule. A test table over this type keeps each of them checked. */
export type DifferentiableOp = {
  [O in Op]: (typeof gradientRules)[O] extends typeof notDifferentiable ? never : O
}[Op]

const isFloat = ({ dtype }: Value): boolean => dtype.startsWith('float')

const inverse = (perm: readonly number[]): number[] => perm.map((_, axis) => perm.indexOf(axis))

/** Run-time sizes of the named dimensions of a value. */
const dimsOf = (x: Value): Record<string, Value> =>
  Object.fromEntries(x.shape.flatMap((dim, axis) => (typeof dim === 'string' ? [[dim, x.dim(axis)]] : [])))

/** Undoes a reduction: gives the reduced axes back, stretched. */
function restoreAxes(dy: Value, x: Value, { axes, keepdims }: Attributes<'ReduceSum'>): Value {
  const reduced = new Set(axes.map((axis) => normalizeAxis(axis, x.shape.length)))
  const kept = x.shape.map((dim, axis) => (reduced.has(axis) ? 1 : dim))
  return (keepdims ? dy : dy.reshape(kept, dimsOf(dy))).expandLike(x)
}

const count = (x: Value, axes: readonly number[]): number =>
  axes.reduce((product, axis) => product * knownDim(x, axis), 1)

/** Exact derivatives of both forms of GELU (Hendrycks and Gimpel 2016, section 2). */
const geluSlopes: Readonly<Record<Attributes<'Gelu'>['approximate'], (x: Value) => Value>> = {
  // Φ(x) + x φ(x)
  none: (x) => {
    const cdf = x.mul(Math.SQRT1_2).erf().add(1).mul(0.5)
    const pdf = x
      .mul(x)
      .mul(-0.5)
      .exp()
      .mul(1 / Math.sqrt(2 * Math.PI))
    return cdf.add(x.mul(pdf))
  },
  // gelu(x) = x s(z) with z = 2c (x + k x³), hence s (1 + x (1 - s) z')
  tanh: (x) => {
    const [c, k] = [Math.sqrt(2 / Math.PI), 0.044715]
    const square = x.mul(x)
    const s = x.mul(square.mul(2 * c * k).add(2 * c)).sigmoid()
    const slope = square.mul(6 * c * k).add(2 * c)
    return s.mul(x.sub(x.mul(s)).mul(slope).add(1))
  },
}

/** Y = alpha A' B' with A', B' the operands after their transpositions. */
function fusedMatmulGradient({ dy, inputs: [a, b], attributes }: GradientScope<'FusedMatMul'>): [Value, Value] {
  const { alpha, transA, transB, transBatchA, transBatchB } = attributes
  const dA = transA
    ? b.fusedMatmul(dy, {
        alpha,
        transA: transB,
        transBatchA: transBatchB,
        transB: true,
      })
    : dy.fusedMatmul(b, { alpha, transB: !transB, transBatchB })
  const dB = transB
    ? dy.fusedMatmul(a, {
        alpha,
        transA: true,
        transB: transA,
        transBatchB: transBatchA,
      })
    : a.fusedMatmul(dy, { alpha, transA: !transA, transBatchA })
  return [transBatchA ? batchLast(dA) : dA, transBatchB ? batchLast(dB) : dB]
}

/** [batch…, d0, last] -> [d0, batch…, last]: undoes `transBatch`. */
function batchLast(x: Value): Value {
  const rank = x.shape.length
  return x.transpose([rank - 2, ...Array.from({ length: rank - 2 }, (_, i) => i), rank - 1])
}

function gemmGradient({ dy, inputs, attributes }: GradientScope<'Gemm'>): [Value, Value] | [Value, Value, Value] {
  const [a, b, bias] = inputs
  const { alpha, transA, transB } = attributes
  const dA = transA ? b.gemm(dy, { alpha, transA: transB, transB: true }) : dy.gemm(b, { alpha, transB: !transB })
  const dB = transB ? dy.gemm(a, { alpha, transA: true, transB: transA }) : a.gemm(dy, { alpha, transA: !transA })
  return bias === undefined ? [dA, dB] : [dA, dB, dy]
}

function slices(dy: Value, inputs: readonly Value[], axis: number): Value[] {
  let start = 0
  return inputs.map((x) => {
    const end = start + knownDim(x, axis)
    const part = dy.slice(axis, start, end)
    start = end
    return part
  })
}

/** Rows that were read several times collect every gradient. */
function gatherGradient(dy: Value, data: Value, indices: Value, axis: number): Value {
  if (normalizeAxis(axis, data.shape.length) !== 0) throw new RangeError(`expected Gather along axis 0, got ${axis}`)
  return data.zerosLike().scatterND(indices.cast('int64').unsqueeze(-1), dy)
}

/** Row numbers [n] of the index tuples [n, 1]. */
function rows(indices: Value): Value {
  if (dimAt(indices.shape, -1) !== 1) throw new RangeError('expected ScatterND to address whole rows')
  return indices.reshape(indices.shape.slice(0, -1))
}

/** With x̂ = (x - mean)·invStdDev: dx = invStdDev (dx̂ - mean(dx̂) - x̂ mean(dx̂ x̂)). */
function layerNormalizationGradient({
  dy,
  dys,
  inputs: [x, scale],
  outputs: [, mean, invStdDev],
}: GradientScope<'LayerNormalization'>): [Value, Value, Value] {
  if (!(mean && invStdDev)) throw new TypeError('expected LayerNormalization to give its statistics')
  if (dys[1] || dys[2]) throw new TypeError('expected no gradient through the statistics of LayerNormalization')
  const normal = x.sub(mean).mul(invStdDev)
  const dNormal = dy.mul(scale)
  const centred = dNormal.sub(dNormal.mean([-1], true)).sub(normal.mul(dNormal.mul(normal).mean([-1], true)))
  return [centred.mul(invStdDev), dy.mul(normal), dy]
}

/** dlogits = w (p - smoothed one-hot); the weights are data and get no gradient. */
function crossEntropyGradient({
  dy,
  inputs: [logits, targets, weights],
  attributes: { labelSmoothing },
}: GradientScope<'SoftmaxCrossEntropy'>): [Value, null, null] {
  const w = weights.mul(dy)
  const p = logits.logSoftmax().exp()
  const spread = labelSmoothing === 0 ? p : p.sub(labelSmoothing / knownDim(logits, -1))
  const onTarget = w.mul(labelSmoothing - 1)
  return [spread.mul(w).scatterElements(targets.unsqueeze(-1), onTarget, 1), null, null]
}
