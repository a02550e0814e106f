/** Who keeps what, and until when: closing at any time, garbage collection, and memory that stays flat. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { NativeBinding } from '../../../src/onnx/native/binding.ts'
import { cApi } from '../../../src/onnx/native/c-api.ts'
import { Handle } from '../../../src/onnx/native/handle.ts'
import { DeviceMemory } from '../../../src/onnx/native/memory.ts'
import { sessionOptions } from '../../../src/onnx/native/session-options.ts'
import { readSignature } from '../../../src/onnx/native/signature.ts'
import { NativeTensor, wrapHost } from '../../../src/onnx/native/tensor.ts'
import { arithmeticModel, float32, openCpu, rejection, runOnce, slowModel } from '../../fixtures/native-models.ts'

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

const megabytes = () => process.memoryUsage().rss / 2 ** 20

/** Rounds of which one must leave the process as it was: memory moves for other reasons too, a leak grows in each of them. */
const mostRounds = 12

/** The least that the process grew over a round of `work`; no further rounds once one grew by less than `enough` MiB. */
async function growth(repeats: number, work: () => Promise<void>, enough: number): Promise<number> {
  const round = async () => {
    for (let i = 0; i < repeats; i++) await work()
    collectGarbage()
    return megabytes()
  }
  let before = await round()
  let least = Number.POSITIVE_INFINITY
  for (let i = 0; i < mostRounds && least >= enough; i++) {
    const after = await round()
    least = Math.min(least, after - before)
    before = after
  }
  return least
}

/** A session without the class around it. */
async function nativeSession(model: Uint8Array): Promise<Handle> {
  const { call, onThread, release } = cApi()
  const [environment, settings] = [call.CreateEnv(4, 'test'), sessionOptions({ provider: 'cpu' })]
  const pointer = await onThread.CreateSessionFromArray(environment, model, model.byteLength, settings.pointer)
  settings.release()
  return new Handle(pointer, (session) => {
    release.Session(session)
    release.Env(environment)
  })
}

t.test('everything closes twice, and says so when it is used afterwards', async (t) => {
  const session = await openCpu(arithmeticModel())
  const binding = session.createBinding()
  const x = float32([1, 2, 3, 4], [1, 4])
  binding.bindInput('x', x)
  binding.bindOutput('twice', session.allocate('float32', [1, 4], 'device'))
  binding.close()
  binding.close()
  t.throws(() => binding.bindInput('x', x), { name: 'TypeError', message: /closed/ })
  t.throws(() => binding.clear(), { name: 'TypeError', message: /closed/ })
  t.match(await rejection(binding.run()), { name: 'TypeError', message: /closed/ })
  const left = session.createBinding()
  session.close()
  session.close()
  t.throws(() => left.clear(), { name: 'TypeError', message: /closed/ }, 'a session closes its bindings')
  t.throws(() => session.createBinding(), { name: 'TypeError', message: /closed/ })
  t.throws(() => session.allocate('float32', [1], 'host'), { name: 'TypeError', message: /closed/ })
  t.throws(() => session.endProfiling(), { name: 'TypeError', message: /closed/ })
})

t.test('a tensor may be closed while it is bound: the binding keeps its memory', async (t) => {
  const session = await openCpu(arithmeticModel())
  const binding = session.createBinding()
  const [x, twice] = [float32([1, 2, 3, 4], [1, 4]), session.allocate('float32', [1, 4], 'host')]
  binding.bindInput('x', x)
  binding.bindOutput('twice', twice)
  x.close()
  await binding.run()
  t.strictSame([...twice.data], [2, 4, 6, 8])
  t.throws(() => binding.bindInput('x', x), { name: 'TypeError', message: /closed/ })
  session.close()
})

t.test('closing during a run lets the run finish', async (t) => {
  for (const close of ['binding', 'session'] as const) {
    const session = await openCpu(slowModel(200))
    const binding = session.createBinding()
    const [x, y] = ['x', 'y'].map(() => session.allocate('float32', [128, 128], 'host'))
    x!.data.fill(1 / 64)
    binding.bindInput('x', x!)
    binding.bindOutput('y', y!)
    const run = binding.run()
    if (close === 'binding') binding.close()
    else session.close()
    await run
    t.ok(
      y!.data.every((value) => value === 1 / 64),
      `the ${close} closed, the result is whole`,
    )
    session.close()
  }
})

t.test('garbage collection takes nothing that is bound or under way', async (t) => {
  const session = await openCpu(arithmeticModel())
  const twice = session.allocate('float32', [1, 4], 'host')
  for (let i = 0; i < 12; i++) {
    const binding = session.createBinding()
    binding.bindInput('x', wrapHost(Float32Array.of(i, i, i, i), 'float32', [1, 4]))
    binding.bindOutput('twice', twice)
    collectGarbage()
    const run = binding.run()
    collectGarbage()
    await run
    t.equal(twice.data[3], 2 * i)
    binding.close()
  }
  const loading = Array.from({ length: 4 }, () => openCpu(slowModel(100)))
  collectGarbage()
  for (const loaded of await Promise.all(loading)) loaded.close()
  session.close()
})

t.test('a handle is released with its last owner, once', async (t) => {
  const released: bigint[] = []
  const handle = new Handle(7n, (pointer) => released.push(pointer))
  handle.retain().release()
  t.strictSame([handle.pointer, released], [7n, []])
  handle.release()
  t.strictSame(released, [7n])
  for (const use of [() => handle.pointer, () => handle.retain(), () => handle.release()]) {
    t.throws(use, { name: 'TypeError', message: /released/ })
  }
})

t.test('memory of a device holds tensors, and outlives them while it is bound', async (t) => {
  const session = await nativeSession(arithmeticModel())
  const memory = new DeviceMemory(session, 'Cpu', 0)
  const signature = {
    inputs: readSignature(session.pointer, 'inputs'),
    outputs: readSignature(session.pointer, 'outputs'),
  }
  const binding = new NativeBinding({ session, uploads: true, ...signature, onClose: () => undefined })
  const tensor = new NativeTensor('float32', [3, 4], { block: memory.allocate(48), byteOffset: 0 })
  t.equal(tensor.where, 'device')
  t.throws(() => tensor.data, { name: 'TypeError', message: /on a device/ })

  binding.bindInput('x', float32([1, 2, 3, 4], [1, 4]))
  binding.bindOutput('twice', tensor.view(4, [1, 4]))
  await binding.run()
  const square = float32([0, 0, 0, 0], [1, 4])
  binding.clear()
  binding.bindInput('x', tensor.view(4, [1, 4]))
  binding.bindOutput('square', square)
  tensor.close()
  memory.close()
  session.release()
  await binding.run()
  t.strictSame([...square.data], [4, 16, 36, 64])
  t.throws(() => binding.bindInput('x', tensor), { name: 'TypeError', message: /closed/ })
  t.equal(session.pointer > 0n, true, 'the binding keeps the session')
  binding.close()
  t.throws(() => session.pointer, { name: 'TypeError', message: /released/ }, 'and nothing else did')
})

t.test('tens of thousands of bindings, tensors and runs leave the process as large as it was', async (t) => {
  const session = await openCpu(arithmeticModel())
  const memory = session.allocate('float32', [64, 4], 'device')
  const work = async () => {
    for (let i = 0; i < 64; i++) {
      const twice = session.allocate('float32', [1, 4], 'host')
      await runOnce(session, { x: memory.view(i * 4, [1, 4]) }, { twice, square: memory.view(i * 4, [1, 4]) })
    }
  }
  t.ok((await growth(200, work, 4)) < 4, 'a round of 12,800 bindings and runs')
  const kept = session.createBinding()
  const rebind = async () => {
    for (let i = 0; i < 1000; i++) kept.bindInput('x', memory.view((i % 64) * 4, [1, 4]))
  }
  t.ok((await growth(50, rebind, 4)) < 4, 'a round of 50,000 tensors bound')
  session.close()
})

t.test('sessions and failures leave the process as large as it was', async (t) => {
  const model = arithmeticModel()
  const cycle = async () => {
    const session = await openCpu(model)
    session.createBinding()
    session.close()
  }
  t.ok((await growth(100, cycle, 2)) < 2, 'a round of 100 sessions')
  const failure = async () => void (await rejection(openCpu(new Uint8Array(9))))
  t.ok((await growth(300, failure, 2)) < 2, 'a round of 300 models that do not load')
})
