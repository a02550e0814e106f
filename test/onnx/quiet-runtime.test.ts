/** The runtime tells nobody what it does: both doors, in a process of their own with a home of its own. */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = fileURLToPath(new URL('../..', import.meta.url))

const doors = {
  'onnxruntime-node': `
    const { Session } = await import('./src/onnx/session.ts')
    const session = await Session.create(model)
    await session.run({ x: { dtype: 'float32', shape: [1], data: new Float32Array(1) } })
    await session.close()`,
  'the C API': `
    const { NativeRuntime } = await import('./src/onnx/native/runtime.ts')
    const session = await NativeRuntime.open().createSession(model, { provider: 'cpu' })
    session.close()`,
}

const model = `
  const { input } = await import('./src/onnx/graph.ts')
  const { serializeModel } = await import('./src/onnx/model.ts')
  const model = serializeModel({ y: input('x', 'float32', [1]).exp() })`

for (const [door, use] of Object.entries(doors)) {
  t.test(`${door} leaves no record in the user's home`, async (t) => {
    const home = t.testdir()
    const { ORT_DISABLE_TELEMETRY: _, ...env } = process.env
    const run = spawnSync(process.execPath, ['--import=tsx', '--input-type=module', '-e', model + use], {
      cwd: root,
      env: { ...env, HOME: home, XDG_CACHE_HOME: '', TMPDIR: '/tmp' },
    })
    t.equal(run.status, 0, String(run.stderr))
    t.notOk(existsSync(`${home}/.cache/Microsoft`), readdirSync(home).join())
  })
}
