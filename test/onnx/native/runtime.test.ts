/** Sessions through the C API: what they tell of a model, how they are made, and how that fails. */
import { readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { create, toBinary } from '@bufbuild/protobuf'
import t from 'tap'
import { hasCode } from '../../../src/errors.ts'
import { initializer, input } from '../../../src/onnx/graph.ts'
import { serializeModel } from '../../../src/onnx/model.ts'
import { NativeRuntime } from '../../../src/onnx/native/runtime.ts'
import { ModelProtoSchema } from '../../../src/onnx/proto/onnx_pb.ts'
import { dtypes } from '../../../src/onnx/tensor-type.ts'
import { arithmeticModel, float32, openCpu, rejection, runOnce } from '../../fixtures/native-models.ts'

const runtime = NativeRuntime.open()

t.test('the library is the one of the installed onnxruntime-node', async (t) => {
  const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json')
  t.equal(runtime.version, version)
  t.match(runtime.libraryPath, /onnxruntime-node/)
  t.equal(NativeRuntime.open(), runtime, 'there is one runtime')
})

t.test('a session tells the names, types and shapes of its model', async (t) => {
  const ids = input('ids', 'int32', ['tokens'])
  const table = input('table', 'float16', [7, 8])
  const scale = input('scale', 'float16', [])
  const session = await openCpu(serializeModel({ rows: table.gather(ids).mul(scale), same: ids.cast('int64') }))
  t.strictSame(session.inputs, [
    { name: 'table', dtype: 'float16', shape: [7, 8] },
    { name: 'ids', dtype: 'int32', shape: ['tokens'] },
    { name: 'scale', dtype: 'float16', shape: [] },
  ])
  t.strictSame(session.outputs, [
    { name: 'rows', dtype: 'float16', shape: ['tokens', 8] },
    { name: 'same', dtype: 'int64', shape: ['tokens'] },
  ])
  session.close()
})

t.test('elements of every type arrive as they were', async (t) => {
  for (const dtype of dtypes) {
    const session = await openCpu(serializeModel({ y: input('x', dtype, ['n']).identity() }))
    const x = session.allocate(dtype, [3], 'host')
    const y = session.allocate(dtype, [3], 'host')
    new Uint8Array(x.data.buffer, x.data.byteOffset, x.byteLength).fill(1)
    await runOnce(session, { x }, { y })
    t.strictSame(y.data, x.data, dtype)
    t.not(Number(y.data[2]), 0, `${dtype} is not all zeros`)
    session.close()
  }
})

t.test('sizes of zero and scalars run', async (t) => {
  const [rows, scale] = [input('rows', 'float32', ['n', 2]), input('scale', 'float32', [])]
  const session = await openCpu(serializeModel({ y: rows.mul(scale), sum: rows.sum([0]) }))
  const y = session.allocate('float32', [0, 2], 'host')
  const sum = session.allocate('float32', [2], 'host')
  sum.data.fill(7)
  await runOnce(session, { rows: float32([], [0, 2]), scale: float32([3], []) }, { y, sum })
  t.strictSame([...y.data, ...sum.data], [0, 0])
  session.close()
})

t.test('a model loads from a file', async (t) => {
  const file = join(t.testdir(), 'größe.onnx')
  await writeFile(file, arithmeticModel())
  const session = await openCpu(file)
  const twice = session.allocate('float32', [1, 4], 'host')
  await runOnce(session, { x: float32([1, 2, 3, 4], [1, 4]) }, { twice })
  t.strictSame([...twice.data], [2, 4, 6, 8])
  session.close()
})

t.test('bytes inside a larger buffer load', async (t) => {
  const model = arithmeticModel()
  const padded = new Uint8Array(model.length + 20).fill(255)
  padded.set(model, 11)
  const session = await openCpu(padded.subarray(11, 11 + model.length))
  t.equal(session.inputs.length, 1)
  session.close()
})

t.test('weights of a model of bytes lie in the directory that is given', async (t) => {
  const externalDataDirectory = t.testdir()
  const weights = Float32Array.from({ length: 4096 }, (_, i) => i)
  await writeFile(join(externalDataDirectory, 'weights.bin'), weights)
  const place = { location: 'weights.bin', offset: 4 * 4, length: 4 * 4 }
  const w = initializer('w', { dtype: 'float32', shape: [4] }, place)
  const model = serializeModel({ y: input('x', 'float32', [4]).mul(w) })
  const session = await runtime.createSession(model, { provider: 'cpu', externalDataDirectory })
  const y = session.allocate('float32', [4], 'host')
  await runOnce(session, { x: float32([1, 1, 1, 10], [4]) }, { y })
  t.strictSame([...y.data], [4, 5, 6, 70])
  session.close()
})

t.test('what cannot be loaded is refused with the reason', async (t) => {
  const cases: readonly [Uint8Array | string, RegExp][] = [
    [new Uint8Array(7), /protobuf/i],
    [new Uint8Array(0), /./],
    [join(t.testdir(), 'absent.onnx'), /absent\.onnx.*exist/s],
    [
      serializeModel({
        y: input('x', 'float32', [2]).add(
          initializer('w', { dtype: 'float32', shape: [1] }, { location: 'no.bin', offset: 0, length: 4 }),
        ),
      }),
      /no\.bin/,
    ],
  ]
  for (const [model, reason] of cases) t.match(await rejection(openCpu(model)), { message: reason })
})

t.test('a value of a type that is not used here is refused by name', async (t) => {
  const uint16 = { value: { case: 'tensorType' as const, value: { elemType: 4, shape: { dim: [] } } } }
  const graph = {
    name: 'g',
    node: [{ opType: 'Identity', input: ['odd'], output: ['y'] }],
    input: [{ name: 'odd', type: uint16 }],
    output: [{ name: 'y', type: uint16 }],
  }
  const model = create(ModelProtoSchema, { irVersion: 10n, opsetImport: [{ domain: '', version: 21n }], graph })
  t.match(await rejection(openCpu(toBinary(ModelProtoSchema, model))), { name: 'TypeError', message: /'odd'.*type 4/ })
})

t.test('a profile names the provider of each node', async (t) => {
  const session = await runtime.createSession(arithmeticModel(), {
    provider: 'cpu',
    requireProvider: true,
    allowSpinning: true,
    profile: join(t.testdir(), 'profile'),
  })
  const x = float32([1, 2, 3, 4], [1, 4])
  await runOnce(session, { x }, { twice: session.allocate('float32', [1, 4], 'host') })
  const profile = await readFile(session.endProfiling(), 'utf8')
  session.close()
  t.match(profile, /CPUExecutionProvider/)
})

t.test('the cpu is available; cuda where a session with it can be made', async (t) => {
  t.ok(await runtime.providerAvailable('cpu'))
  const made = await runtime.createSession(arithmeticModel(), { provider: 'cuda', requireProvider: true }).then(
    (session) => {
      session.close()
      return true
    },
    (error: unknown) => {
      t.ok(hasCode(error, 'device_unavailable'), 'without CUDA the device is unavailable')
      return false
    },
  )
  t.equal(await runtime.providerAvailable('cuda'), made)
})
