/** The driver of differentiation: what it differentiates, what it refuses, and what it leaves out. */
import t from 'tap'
import { backward } from '../../src/onnx/autodiff.ts'
import { input } from '../../src/onnx/graph.ts'
import { formatGraph } from '../../src/onnx/print.ts'

t.test('frozen weights get no gradient, and nothing below what is wanted is differentiated', async (t) => {
  const [x, frozen, wanted] = ['x', 'frozen', 'wanted'].map((name) => input(name, 'float32', [2, 2]))
  const hidden = x!.matmul(frozen!).tanh()
  const [gradient] = backward(hidden.matmul(wanted!).sum([0, 1]), [wanted!])
  t.equal(
    formatGraph([gradient!]),
    [
      '%0: float32[2, 2] = MatMul(x, frozen)',
      '%1: float32[2, 2] = Tanh(%0)',
      '%2: float32[1, 1] = Reshape(1, [1, 1], shape=[1,1])',
      '%3: float32[2, 2] = MatMul(%1, wanted)',
      '%4: int64[2] = Shape(%3, start=0, end=2)',
      '%5: float32[2, 2] = Expand(%2, %4, shape=[2,2])',
      '%6: float32[2, 2] = FusedMatMul(%1, %5, alpha=1, transA=true, transB=false, transBatchA=false, transBatchB=false)',
    ].join('\n'),
  )
})

t.test('gradients of a value that is read twice add up', async (t) => {
  const x = input('x', 'float32', [])
  const [gradient] = backward(x.mul(x), [x])
  t.equal(
    formatGraph([gradient!]),
    ['%0: float32[] = Mul(1, x)', '%1: float32[] = Mul(1, x)', '%2: float32[] = Sum(%0, %1)'].join('\n'),
  )
})

t.test('nodes of the backward pass say which layer they belong to', async (t) => {
  const x = input('x', 'float32', [])
  const [gradient] = backward(x.exp(), [x])
  t.match(gradient!.producer, { kind: 'node', scope: 'gradient' })
})

t.test('refuses what has no derivative, what is no scalar, and what the loss does not depend on', async (t) => {
  const x = input('x', 'float32', [2])
  t.throws(() => backward(x, [x]), { message: 'expected a scalar loss, got float32[2]' })
  t.throws(() => backward(x.sum([0]), [input('y', 'float32', [])]), { message: /expected the loss to depend on y/ })
  const shape = x.shapeValue().cast('float32').sum([0])
  t.throws(() => backward(shape, [x]), { message: /expected a differentiable op, got Shape|depend on x/ })
})

t.test('what is held constant passes no gradient on', async (t) => {
  const x = input('x', 'float32', [])
  const held = x.exp()
  const [gradient] = backward(x.mul(held), [x], [held])
  t.equal(formatGraph([gradient!]), ['%0: float32[] = Exp(x)', '%1: float32[] = Mul(1, %0)'].join('\n'))
})
