/** Every gradient rule against central differences, in float64 through the runtime. A rule without a case does not compile. */
import t from 'tap'
import type { DifferentiableOp } from '../../src/onnx/gradients.ts'
import { concat, constant, sum } from '../../src/onnx/graph.ts'
import { type GradientCase, gradientError } from '../fixtures/gradient-check.ts'

const positive = [0.5, 2] as const
const indices = (values: number[], shape = [values.length]) => constant(values, 'int64', shape)
const condition = constant([1, 0, 1, 0, 1, 1], 'bool', [2, 3])

/** Products with every combination of transpositions, over operands of shape [3, 2, 4, 5]-like axes. */
const fusedMatmulCases = [false, true].flatMap((transA) =>
  [false, true].flatMap((transB) =>
    [false, true].map((transBatch): GradientCase => {
      const matrix = (rows: number, columns: number, transposed: boolean) =>
        transposed ? [columns, rows] : [rows, columns]
      const operand = ([rows = 0, columns = 0]: number[]) =>
        transBatch ? [rows, 2, 3, columns] : [2, 3, rows, columns]
      return {
        shapes: [operand(matrix(2, 4, transA)), operand(matrix(4, 5, transB))],
        build: (a, b) =>
          a!.fusedMatmul(b!, {
            alpha: 0.7,
            transA,
            transB,
            transBatchA: transBatch,
            transBatchB: transBatch,
          }),
      }
    }),
  ),
)

const gemmCases = [false, true].flatMap((transA) =>
  [false, true].map(
    (transB): GradientCase => ({
      shapes: [transA ? [4, 3] : [3, 4], transB ? [5, 4] : [4, 5], [5]],
      build: (a, b, bias) => a!.gemm(b!, { alpha: 1.3, transA, transB, bias }),
    }),
  ),
)

const cases: { readonly [Op in DifferentiableOp]: readonly GradientCase[] } = {
  Add: [
    { shapes: [[2, 3], [3]], build: (a, b) => a!.add(b!) },
    {
      shapes: [
        [2, 1, 3],
        [4, 1],
      ],
      build: (a, b) => a!.add(b!),
    },
    {
      shapes: [
        [2, 3],
        [1, 1],
      ],
      build: (a, b) => a!.add(b!),
    },
  ],
  Sub: [
    {
      shapes: [
        [2, 3],
        [2, 1],
      ],
      build: (a, b) => a!.sub(b!),
    },
  ],
  Mul: [
    { shapes: [[2, 3], [3]], build: (a, b) => a!.mul(b!) },
    { shapes: [[2, 3]], build: (a) => a!.mul(a!) },
  ],
  Div: [
    {
      shapes: [
        [2, 3],
        [2, 3],
      ],
      build: (a, b) => a!.div(b!),
      range: positive,
    },
  ],
  Neg: [{ shapes: [[3]], build: (x) => x!.neg() }],
  Exp: [{ shapes: [[3]], build: (x) => x!.exp() }],
  Log: [{ shapes: [[3]], build: (x) => x!.log(), range: positive }],
  Sqrt: [{ shapes: [[3]], build: (x) => x!.sqrt(), range: positive }],
  Tanh: [{ shapes: [[3]], build: (x) => x!.tanh() }],
  Sigmoid: [{ shapes: [[3]], build: (x) => x!.sigmoid() }],
  Erf: [{ shapes: [[3]], build: (x) => x!.erf() }],
  Relu: [{ shapes: [[8]], build: (x) => x!.relu() }],
  Gelu: [
    { shapes: [[8]], build: (x) => x!.gelu('tanh') },
    { shapes: [[8]], build: (x) => x!.gelu('none') },
  ],
  Cast: [
    {
      shapes: [[3]],
      build: (x) => x!.mul(x!).cast('float64').add(x!.cast('int64').cast('float64')),
    },
  ],
  Identity: [{ shapes: [[3]], build: (x) => x!.identity() }],
  Where: [{ shapes: [[2, 3], [3]], build: (a, b) => a!.where(condition, b!) }],
  Sum: [
    {
      shapes: [
        [2, 3],
        [2, 3],
        [2, 3],
      ],
      build: (...xs) => sum(xs),
    },
  ],
  ReduceSum: [
    { shapes: [[2, 3, 4]], build: (x) => x!.sum([1]) },
    { shapes: [[2, 3, 4]], build: (x) => x!.sum([0, -1], true) },
  ],
  ReduceMean: [{ shapes: [[2, 3, 4]], build: (x) => x!.mean([-1]) }],
  MatMul: [
    {
      shapes: [
        [2, 3, 4],
        [4, 5],
      ],
      build: (a, b) => a!.matmul(b!),
    },
    {
      shapes: [
        [3, 4],
        [2, 4, 5],
      ],
      build: (a, b) => a!.matmul(b!),
    },
  ],
  FusedMatMul: fusedMatmulCases,
  Gemm: [
    ...gemmCases,
    {
      shapes: [
        [3, 4],
        [4, 5],
      ],
      build: (a, b) => a!.gemm(b!),
    },
  ],
  Transpose: [{ shapes: [[2, 3, 4]], build: (x) => x!.transpose([2, 0, 1]) }],
  Reshape: [{ shapes: [[2, 6]], build: (x) => x!.reshape([3, 4]) }],
  Expand: [
    {
      shapes: [[3]],
      build: (x) => x!.expandLike(constant([1, 2, 3, 4, 5, 6], 'float64', [2, 3])),
    },
  ],
  Concat: [
    {
      shapes: [
        [2, 3],
        [2, 1],
      ],
      build: (a, b) => concat([a!, b!], 1),
    },
  ],
  Split: [
    {
      shapes: [[2, 6]],
      build: (x) => {
        const [first, second] = x!.split(1, 3)
        return first!.mul(second!)
      },
    },
  ],
  Slice: [{ shapes: [[2, 6]], build: (x) => x!.slice(1, 1, 4) }],
  Pad: [{ shapes: [[2, 3]], build: (x) => x!.pad(1, 1, 2) }],
  Gather: [
    { shapes: [[4, 3]], build: (x) => x!.gather(indices([1, 3, 1])) },
    {
      shapes: [[4, 3]],
      build: (x) => x!.gather(constant([1, 3, 1, 0], 'int32', [2, 2])),
    },
  ],
  GatherElements: [
    {
      shapes: [[3, 4]],
      build: (x) => x!.gatherElements(indices([1, 0, 3, 3, 2, 2], [3, 2]), 1),
    },
  ],
  ScatterElements: [
    {
      shapes: [
        [3, 4],
        [3, 2],
      ],
      build: (x, u) => x!.scatterElements(indices([1, 0, 3, 3, 2, 2], [3, 2]), u!, 1),
    },
  ],
  ScatterND: [
    {
      shapes: [
        [4, 3],
        [2, 3],
      ],
      build: (x, u) => x!.scatterND(indices([2, 2], [2, 1]), u!),
    },
  ],
  Softmax: [{ shapes: [[2, 5]], build: (x) => x!.softmax() }],
  LogSoftmax: [{ shapes: [[2, 5]], build: (x) => x!.logSoftmax() }],
  LayerNormalization: [
    {
      shapes: [[3, 8], [8], [8]],
      build: (x, scale, bias) => x!.layerNormalization(scale!, bias!, 1e-5),
    },
  ],
  SoftmaxCrossEntropy: [0, 0.1].map((labelSmoothing) => ({
    shapes: [[3, 5]],
    build: (logits) =>
      logits!.softmaxCrossEntropy(indices([4, 0, 2]), constant([0.5, 0, 2], 'float64', [3, 1]), labelSmoothing),
  })),
}

for (const [op, list] of Object.entries(cases)) {
  t.test(`the gradient of ${op} agrees with central differences`, async (t) => {
    for (const [i, gradientCase] of list.entries()) {
      const error = await gradientError(gradientCase)
      t.ok(error < 1e-6, `case ${i}: relative error ${error}`)
    }
  })
}
