/** Bindings: what may be bound, runs off the event loop, one at a time, stopped when asked. */
import t from 'tap'
import { hasCode } from '../../../src/errors.ts'
import type { NativeBinding } from '../../../src/onnx/native/binding.ts'
import type { NativeSession } from '../../../src/onnx/native/session.ts'
import {
  arithmeticModel,
  float32,
  int32,
  openCpu,
  rejection,
  runOnce,
  slowModel,
} from '../../fixtures/native-models.ts'

function bindSlow(session: NativeSession): NativeBinding {
  const binding = session.createBinding()
  binding.bindInput('x', session.allocate('float32', [128, 128], 'host'))
  binding.bindOutput('y', session.allocate('float32', [128, 128], 'host'))
  return binding
}

t.test('a binding keeps what is bound, and runs again on what the memory then holds', async (t) => {
  const session = await openCpu(arithmeticModel())
  const binding = session.createBinding()
  const [x, twice] = [float32([1, 2, 3, 4], [1, 4]), session.allocate('float32', [1, 4], 'host')]
  binding.bindInput('x', x)
  binding.bindOutput('twice', twice)
  await binding.run()
  x.data.set([5, 6, 7, 8])
  await binding.run()
  t.strictSame([...twice.data], [10, 12, 14, 16])
  binding.bindInput('x', float32([1, 1, 1, 1], [1, 4]))
  await binding.run()
  t.strictSame([...twice.data], [2, 2, 2, 2], 'until another tensor is bound')
  binding.clear()
  t.match(await rejection(binding.run()), { name: 'TypeError', message: /none for x/ })
  session.close()
})

t.test('input and output may be the same memory', async (t) => {
  const session = await openCpu(arithmeticModel())
  const x = float32([1, 2, 3, 4], [1, 4])
  await runOnce(session, { x }, { square: x })
  await runOnce(session, { x }, { square: x })
  t.strictSame([...x.data], [1, 16, 81, 256])
  session.close()
})

t.test('names, types and shapes that the model has not are refused at once', async (t) => {
  const session = await openCpu(arithmeticModel())
  const binding = session.createBinding()
  const fitting = float32([1, 2, 3, 4], [1, 4])
  t.throws(() => binding.bindInput('z', fitting), { name: 'RangeError', message: "expected one of x, got 'z'" })
  t.throws(() => binding.bindOutput('x', fitting), { name: 'RangeError', message: /twice, square, got 'x'/ })
  t.throws(() => binding.bindInput('x', int32([1, 2, 3, 4], [1, 4])), {
    name: 'TypeError',
    message: "expected float32[n, 4] for 'x', got int32[1, 4]",
  })
  for (const shape of [[4], [4, 1], [1, 1, 4]]) {
    t.throws(() => binding.bindInput('x', float32([1, 2, 3, 4], shape)), { name: 'TypeError' })
  }
  session.close()
})

t.test('a shape that the run does not arrive at fails the run, with both shapes, and the next run works', async (t) => {
  const session = await openCpu(arithmeticModel())
  const binding = session.createBinding()
  binding.bindInput('x', float32([1, 2, 3, 4], [1, 4]))
  binding.bindOutput('twice', session.allocate('float32', [2, 4], 'host'))
  t.match(await rejection(binding.run()), { message: /\{2,4\}.*\{1,4\}/ })
  const twice = session.allocate('float32', [1, 4], 'host')
  binding.bindOutput('twice', twice)
  await binding.run()
  t.strictSame([...twice.data], [2, 4, 6, 8])
  session.close()
})

t.test('the event loop goes on during a run', async (t) => {
  const session = await openCpu(slowModel(1000))
  const binding = bindSlow(session)
  let [ticks, running] = [0, true]
  const tick = () => {
    ticks += 1
    if (running) setImmediate(tick)
  }
  setImmediate(tick)
  await binding.run()
  running = false
  t.ok(ticks > 20, `${ticks} turns of the event loop while the run was under way`)
  session.close()
})

t.test('a binding has one run at a time, a session as many as it has bindings', async (t) => {
  const session = await openCpu(slowModel(300))
  const [first, second] = [bindSlow(session), bindSlow(session)]
  const runs = [first.run(), second.run()]
  t.match(await rejection(first.run()), { name: 'TypeError', message: /under way/ })
  t.throws(() => first.bindOutput('y', session.allocate('float32', [128, 128], 'host')), { message: /under way/ })
  t.throws(() => first.clear(), { message: /under way/ })
  await Promise.all(runs)
  await first.run()
  session.close()
})

t.test('a run stops when its signal does, and the binding runs again', async (t) => {
  const session = await openCpu(slowModel(2000))
  const binding = bindSlow(session)
  const stop = new AbortController()
  const run = binding.run({ signal: stop.signal })
  setImmediate(() => stop.abort())
  t.ok(hasCode(await rejection(run), 'cancelled'))
  t.ok(hasCode(await rejection(binding.run({ signal: stop.signal })), 'cancelled'), 'before it starts, too')
  const other = new AbortController()
  await binding.run({ signal: other.signal })
  other.abort()
  await binding.run()
  session.close()
})
