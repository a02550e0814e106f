/** The language: types are inferred, mistakes are named where they are made, and graphs print as text. */
import t from 'tap'
import { concat, constant, initializer, input, scope, sum } from '../../src/onnx/graph.ts'
import { formatGraph } from '../../src/onnx/print.ts'

t.test('a graph prints as one line a node', async (t) => {
  const x = input('x', 'float32', ['batch', 4])
  const w = initializer('w', { dtype: 'float32', shape: [4, 2] }, new Float32Array(8))
  const y = x.matmul(w).mul(2).softmax()
  t.equal(
    formatGraph([y]),
    [
      '%0: float32[batch, 2] = MatMul(x, w)',
      '%1: float32[batch, 2] = Mul(%0, 2)',
      '%2: float32[batch, 2] = Softmax(%1, axis=-1)',
    ].join('\n'),
  )
})

t.test('several outputs are told apart, and constants print as values', async (t) => {
  const [a, b] = input('x', 'float32', [2, 4]).split(1, 2)
  t.equal(
    formatGraph([a!.add(b!).gather(constant([1, 0], 'int64'))]),
    [
      '%0: float32[2, 2], float32[2, 2] = Split(x, axis=1, parts=2)',
      '%1: float32[2, 2] = Add(%0, %0.1)',
      '%2: float32[2, 2] = Gather(%1, [1, 0], axis=0)',
    ].join('\n'),
  )
})

t.test('a graph is what its outputs reach, each node once', async (t) => {
  const x = input('x', 'float32', [2])
  const shared = x.exp()
  shared.tanh()
  t.equal(formatGraph([shared.add(shared)]).split('\n').length, 2)
})

t.test('a mismatch throws where it is written, naming place, op and operands', async (t) => {
  const a = input('a', 'float32', [2, 3])
  const cases: [() => unknown, RegExp][] = [
    [
      () => a.add(input('b', 'float32', [4])),
      /^Add\(float32\[2, 3\], float32\[4\]\): cannot broadcast \[2, 3\] with \[4\]$/,
    ],
    [() => a.matmul(input('b', 'float32', [4, 2])), /inner dimensions differ/],
    [() => a.add(input('b', 'float64', [3])), /expected operands of one type, got float32 and float64/],
    [() => a.reshape([7]), /6 and 7 elements/],
    [() => a.sum([2]), /expected an axis in -2\.\.1, got 2/],
    [
      () => a.layerNormalization(constant([1, 1], 'float32'), constant([0, 0], 'float32'), 1e-5),
      /expected scale and bias of \[3\]/,
    ],
    [() => scope('h.0', () => scope('attn', () => a.mul(input('b', 'float32', ['batch', 3])))), /^h\.0\/attn\/Mul\(/],
    [() => a.gemm(a), /cannot multiply \[2, 3\] by \[2, 3\]/],
    [() => sum([]), /at least one value/],
    [() => constant([1, 2, 3], 'float32', [2]), /expected 2 values for \[2\], got 3/],
    [() => input('x', 'float32', ['a', 'b']).reshape(['c', 'd']), /d unknown/],
  ]
  for (const [make, message] of cases) t.throws(make, { message })
})

t.test('named dimensions stretch over 1 and equal only themselves', async (t) => {
  const x = input('x', 'float32', ['batch', 1, 3])
  t.same(x.add(input('y', 'float32', ['time', 3])).shape, ['batch', 'time', 3])
  t.throws(() => x.add(input('y', 'float32', ['time', 4])))
})

t.test('shapes follow ONNX', async (t) => {
  const x = input('x', 'float32', ['batch', 6, 4])
  t.same(x.transpose([2, 0, 1]).shape, [4, 'batch', 6])
  t.same(x.sum([0, -1]).shape, [6])
  t.same(x.mean([1], true).shape, ['batch', 1, 4])
  t.same(x.gather(constant([1, 2], 'int64'), 1).shape, ['batch', 2, 4])
  t.same(x.slice(1, 2, 5).shape, ['batch', 3, 4])
  t.same(x.pad(2, 1, 3).shape, ['batch', 6, 8])
  t.same(concat([x, x], 1).shape, ['batch', 12, 4])
  t.same(x.unsqueeze(-1).shape, ['batch', 6, 4, 1])
  const q = input('q', 'float32', ['time', 2, 3, 8])
  t.same(q.fusedMatmul(q, { transB: true, transBatchA: true, transBatchB: true }).shape, [2, 3, 'time', 'time'])
})
