/** Element types and shapes of tensors, and the arithmetic on shapes that ONNX prescribes. */

export const dtypes = ['float32', 'float64', 'float16', 'int32', 'int64', 'uint8', 'bool'] as const
export type DType = (typeof dtypes)[number]

/** A dimension is a number, or the name of one that is known only when the graph runs. */
export type Dim = number | string
export type Shape = readonly Dim[]

export interface TensorType {
  readonly dtype: DType
  readonly shape: Shape
}

export const formatShape = (shape: Shape): string => `[${shape.join(', ')}]`
export const formatType = ({ dtype, shape }: TensorType): string => `${dtype}${formatShape(shape)}`

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i])
}

/** Multidirectional broadcasting (ONNX, Broadcasting.md): aligned at the right, 1 stretches, a name equals only itself. */
export function broadcast(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length)
  return Array.from({ length: rank }, (_, i) => {
    const left = a[a.length - rank + i] ?? 1
    const right = b[b.length - rank + i] ?? 1
    if (left === right || right === 1) return left
    if (left === 1) return right
    throw new RangeError(`cannot broadcast ${formatShape(a)} with ${formatShape(b)}`)
  })
}

/** An axis counted from the start; negative ones count from the end. */
export function normalizeAxis(axis: number, rank: number): number {
  const normal = axis < 0 ? axis + rank : axis
  if (!Number.isInteger(axis) || normal < 0 || normal >= rank) {
    throw new RangeError(`expected an axis in -${rank}..${rank - 1}, got ${axis}`)
  }
  return normal
}

/** Which axes of `shape` were stretched to reach `target`; leading axes that `shape` lacks are counted too. */
export function stretchedAxes(shape: Shape, target: Shape): number[] {
  const missing = target.length - shape.length
  return target.flatMap((dim, i) => (i < missing || (shape[i - missing] === 1 && dim !== 1) ? [i] : []))
}

/** The product of the dimensions, or null where one is a name. */
export function staticSize(shape: Shape): number | null {
  let size = 1
  for (const dim of shape) {
    if (typeof dim === 'string') return null
    size *= dim
  }
  return size
}

/** The dimension at `axis`; throws where the axis does not exist. */
export function dimAt(shape: Shape, axis: number): Dim {
  const dim = shape[normalizeAxis(axis, shape.length)]
  if (dim === undefined) throw new RangeError(`no axis ${axis} in ${formatShape(shape)}`)
  return dim
}
