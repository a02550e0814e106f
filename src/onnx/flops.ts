/** How much arithmetic a graph's matrix products are: the yardstick for how well a step uses the machine. */
import type { Node, Value } from './graph.ts'
import type { Op } from './ops.ts'
import { type Dim, dimAt } from './tensor-type.ts'
import { topologicalOrder } from './traversal.ts'

/** The dimension that a product sums over. */
const innerDim: { readonly [O in Op]?: (node: Node) => Dim } = {
  MatMul: ({ inputs: [a] }) => dimAt(a!.shape, -1),
  Gemm: ({ inputs: [a], attributes }) => dimAt(a!.shape, (attributes as { transA: boolean }).transA ? 0 : -1),
  MatMulNBits: ({ inputs: [x] }) => dimAt(x!.shape, -1),
  FusedMatMul: ({ inputs: [a], attributes }) => {
    const { transA, transBatchA } = attributes as { transA: boolean; transBatchA: boolean }
    return dimAt(a!.shape, transA ? (transBatchA ? 0 : -2) : -1)
  },
}

/**
 * Floating-point operations of all matrix products that the outputs reach, two for each multiply-add, as a function of the
 * sizes of the named dimensions.
 */
export function matrixFlops(outputs: readonly Value[]): (dims: Readonly<Record<string, number>>) => number {
  const products = topologicalOrder(outputs).flatMap((node) => {
    const inner = innerDim[node.op]?.(node)
    const [output] = node.types
    return inner === undefined || output === undefined ? [] : [[inner, ...output.shape]]
  })
  return (dims) => {
    const size = (dim: Dim): number => {
      const value = typeof dim === 'number' ? dim : dims[dim]
      if (value === undefined)
        throw new RangeError(`expected a size for dimension ${dim}, got ${Object.keys(dims).join(', ')}`)
      return value
    }
    return products.reduce((flops, factors) => flops + factors.reduce<number>((all, dim) => all * size(dim), 2), 0)
  }
}
