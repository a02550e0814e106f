/** How each op is spelled in an ONNX node, where that differs from how it is written in the language. */
import { constant, type Node, type Value } from './graph.ts'
import type { Attributes, Op, Ops } from './ops.ts'
import type { DType } from './tensor-type.ts'

/** The numbers of TensorProto.DataType. */
export const dataTypes: Readonly<Record<DType, number>> = {
  float32: 1,
  uint8: 2,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
}

/** Floats and integers are different kinds of attribute, whatever the value. */
export type AttributeValue =
  | { readonly float: number }
  | { readonly int: number }
  | { readonly ints: readonly number[] }
  | { readonly string: string }
  | { readonly zeroOf: DType }

export interface Spelling {
  /** Inputs after those of the node: attributes of ours that ONNX takes as inputs. */
  readonly inputs?: readonly Value[]
  readonly attributes?: Readonly<Record<string, AttributeValue>>
}

const ints = (values: readonly number[]): Value => constant(values, 'int64')
const axisOnly = ({ axis }: { axis: number }): Spelling => ({
  attributes: { axis: { int: axis } },
})

const reduction = ({ axes, keepdims }: Attributes<'ReduceSum'>): Spelling => ({
  inputs: [ints(axes)],
  attributes: { keepdims: { int: Number(keepdims) } },
})

const spellings: {
  readonly [O in Op]?: (attributes: Attributes<O>, inputs: Ops<Value>[O]['inputs']) => Spelling
} = {
  Gelu: ({ approximate }) => ({
    attributes: { approximate: { string: approximate } },
  }),
  Cast: ({ to }) => ({ attributes: { to: { int: dataTypes[to] } } }),
  ReduceSum: reduction,
  ReduceMean: reduction,
  ReduceMax: reduction,
  FusedMatMul: ({ alpha, transA, transB, transBatchA, transBatchB }) => ({
    attributes: {
      alpha: { float: alpha },
      transA: { int: Number(transA) },
      transB: { int: Number(transB) },
      transBatchA: { int: Number(transBatchA) },
      transBatchB: { int: Number(transBatchB) },
    },
  }),
  Gemm: ({ alpha, transA, transB }) => ({
    attributes: {
      alpha: { float: alpha },
      transA: { int: Number(transA) },
      transB: { int: Number(transB) },
    },
  }),
  Transpose: ({ perm }) => ({ attributes: { perm: { ints: perm } } }),
  Shape: ({ start, end }) => ({
    attributes: { start: { int: start }, end: { int: end } },
  }),
  Concat: axisOnly,
  Split: ({ axis, parts }) => ({
    attributes: { axis: { int: axis }, num_outputs: { int: parts } },
  }),
  Slice: ({ axis, start, end }) => ({
    inputs: [ints([start]), ints([end]), ints([axis])],
  }),
  Pad: ({ axis, before, after }, [x]) => ({
    inputs: [ints([before, after]), constant(0, x.dtype), ints([axis])],
  }),
  Gather: axisOnly,
  GatherElements: axisOnly,
  ScatterElements: ({ axis, reduction }) => ({
    attributes: { axis: { int: axis }, reduction: { string: reduction } },
  }),
  ScatterND: ({ reduction }) => ({
    attributes: { reduction: { string: reduction } },
  }),
  ConstantOfShape: ({ dtype }) => ({
    attributes: { value: { zeroOf: dtype } },
  }),
  TopK: ({ axis, k }) => ({ inputs: [ints([k])], attributes: { axis: { int: axis } } }),
  Softmax: axisOnly,
  LogSoftmax: axisOnly,
  LayerNormalization: ({ axis, epsilon }) => ({
    attributes: { axis: { int: axis }, epsilon: { float: epsilon } },
  }),
  MatMulNBits: ({ inFeatures, outFeatures, bits, blockSize, accuracyLevel }) => ({
    attributes: {
      K: { int: inFeatures },
      N: { int: outFeatures },
      bits: { int: bits },
      block_size: { int: blockSize },
      accuracy_level: { int: accuracyLevel },
    },
  }),
  GroupQueryAttention: ({ numHeads, kvNumHeads, scale }) => ({
    attributes: {
      num_heads: { int: numHeads },
      kv_num_heads: { int: kvNumHeads },
      scale: { float: scale },
    },
  }),
}

export function spell({ op, attributes, inputs }: Node): Spelling {
  const spelling = spellings[op] as ((attributes: unknown, inputs: unknown) => Spelling) | undefined
  return spelling?.(attributes, inputs) ?? {}
}
