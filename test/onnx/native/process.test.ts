/** Both doors in one process, and processes that end with native work under way. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { Session } from '../../../src/onnx/session.ts'
import { arithmeticModel, float32, openCpu, runOnce } from '../../fixtures/native-models.ts'

const x = [1, 2, 3, 4]
const feeds = { x: { dtype: 'float32', shape: [1, 4], data: Float32Array.from(x) } } as const

t.test('both doors are open in one process, whichever closes first', async (t) => {
  for (const first of ['door 1', 'door 2'] as const) {
    const [door1, door2] = [await Session.create(arithmeticModel()), await openCpu(arithmeticModel())]
    const square = door2.allocate('float32', [1, 4], 'host')
    const runs = Array.from({ length: 20 }, async () => {
      const results = await door1.run(feeds, ['square'])
      return [...(results.square?.data ?? [])]
    })
    await runOnce(door2, { x: float32(x, [1, 4]) }, { square })
    for (const result of await Promise.all(runs)) t.strictSame(result, [...square.data])
    if (first === 'door 1') await door1.close()
    else door2.close()
    if (first === 'door 2') t.strictSame([...((await door1.run(feeds)).square?.data ?? [])], [1, 4, 9, 16])
    else await runOnce(door2, { x: float32(x, [1, 4]) }, { square })
    if (first === 'door 1') door2.close()
    else await door1.close()
  }
})

/** How the program ends: its status, or the signal that ended it. */
async function ending(way: string): Promise<number | string> {
  const program = fileURLToPath(new URL('../../fixtures/native-exit.ts', import.meta.url))
  const child = spawn(process.execPath, ['--import', 'tsx', program, way], { stdio: 'ignore' })
  const [status, signal] = await once(child, 'exit')
  return signal ?? status
}

const endings: readonly (readonly [string, number | string])[] = [
  ['the run is through', 0],
  ['process.exit', 0],
  ['an error that nobody catches', 1],
  ['a signal', 'SIGTERM'],
  ['both doors open', 0],
]

for (const [way, wanted] of endings) {
  t.test(`a process with an open session ends as it should: ${way}`, async (t) => {
    t.equal(await ending(way), wanted)
  })
}
