/** The service over the tiny checkpoint with everything switched on, listening. */

import { join } from 'node:path'
import { pino } from 'pino'
import { parseChatTemplate } from '../../src/dylora/chat-template.ts'
import { directoryStore } from '../../src/dylora/store/directory-store.ts'
import { runtimeAdapters } from '../../src/server/runtime-adapters.ts'
import { testApp } from '../fixtures/app.ts'

type Test = Parameters<typeof testApp>[0]

/** Gives its address. */
export async function fuzzedApp(t: Test): Promise<string> {
  const chatTemplate = parseChatTemplate(
    '{% for m in messages %}{{ m.content }}{% endfor %}',
    {},
    (reason) => new Error(reason),
  )
  // The app needs the engine's registry, which the same call makes.
  const { engine, directory } = await testApp(t, { engine: { maxWaiting: 64, requestTimeoutMs: 20_000 } })
  const { app } = await testApp(t, {
    app: {
      engine,
      chatTemplate,
      runtimeAdapters: runtimeAdapters(
        engine.registry,
        directoryStore(join(directory, 'adapters'), { keptVersions: 0, pinned: [] }),
        pino({ level: 'silent' }),
      ),
    },
  })
  return app.listen({ port: 0 })
}
