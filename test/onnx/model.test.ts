/** Serialisation: models that ONNX Runtime loads and runs, with names that lead home. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fromBinary } from '@bufbuild/protobuf'
import t from 'tap'
import { backward } from '../../src/onnx/autodiff.ts'
import { initializer, input, scope } from '../../src/onnx/graph.ts'
import { serializeModel } from '../../src/onnx/model.ts'
import { type GraphProto, ModelProtoSchema } from '../../src/onnx/proto/onnx_pb.ts'
import { Session } from '../../src/onnx/session.ts'

const graphOf = (model: Uint8Array): GraphProto => fromBinary(ModelProtoSchema, model).graph!

const x = input('x', 'float32', ['n', 2])

t.test('weights in a file beside the model are found, at their offset', async (t) => {
  const directory = t.testdir()
  writeFileSync(join(directory, 'weights.bin'), new Uint8Array(Float32Array.of(9, 9, 1, 2).buffer))
  const w = initializer('w', { dtype: 'float32', shape: [2] }, { location: 'weights.bin', offset: 8, length: 8 })
  const session = await Session.create(serializeModel({ y: x.mul(w) }), { externalDataDirectory: directory })
  const { y } = await session.run({ x: { dtype: 'float32', shape: [1, 2], data: Float32Array.of(3, 4) } })
  await session.close()
  t.same([...(y!.data as Float32Array)], [3, 8])
})

t.test('data of the wrong size is refused', async (t) => {
  const w = initializer('w', { dtype: 'float32', shape: [2] }, Float32Array.of(1))
  t.throws(() => serializeModel({ y: x.mul(w) }), { message: 'expected 8 bytes of data, got 4' })
})

t.test('outputs carry their names, also when one is an input or is given twice', async (t) => {
  const y = x.exp()
  const session = await Session.create(serializeModel({ first: y, second: y, given: x }))
  const outputs = await session.run({ x: { dtype: 'float32', shape: [1, 2], data: Float32Array.of(0, 0) } })
  await session.close()
  t.same(Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, [...(data as Float32Array)]])), {
    first: [1, 1],
    second: [1, 1],
    given: [0, 0],
  })
})

t.test('node names are paths, and unique', async (t) => {
  const y = scope('h.0', () => scope('mlp', () => x.exp().exp()))
  t.same(
    graphOf(serializeModel({ y })).node.map(({ name }) => name),
    ['h.0/mlp/Exp', 'h.0/mlp/Exp_1'],
  )
})

t.test('what nothing reads comes last, in the order of the outputs', async (t) => {
  const weights = [0, 1, 2].map((layer) => input(`w${layer}`, 'float32', [2, 2]))
  const y = weights.reduce((value, w, layer) => scope(`h.${layer}`, () => value.matmul(w)), x)
  const loss = y.sum([0, 1])
  const gradients = backward(loss, weights)
  const outputs = { loss, ...Object.fromEntries(gradients.map((gradient, i) => [`gradient${i}`, gradient])) }
  const { node } = graphOf(serializeModel(outputs))
  t.same(
    node.slice(-4).map(({ output }) => output[0]),
    ['loss', 'gradient0', 'gradient1', 'gradient2'],
  )
})

t.test('a feed that the model does not have is refused', async (t) => {
  const session = await Session.create(serializeModel({ y: x.exp() }))
  const feed = { dtype: 'float32' as const, shape: [1, 2], data: Float32Array.of(0, 0) }
  await t.rejects(session.run({ x: feed, z: feed }), { message: 'expected inputs x, got z' })
  await session.close()
})
