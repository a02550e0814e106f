/** The queue of a server, reached by its worker processes over their channel: only one process may open PGlite. */
import type { ChildProcess } from 'node:child_process'
import { type Answer, answer, type Call, Calls, type Database } from './database.ts'

interface SqlMessage {
  readonly sql: Call | Answer
}

const isSql = (message: unknown): message is SqlMessage =>
  typeof message === 'object' && message !== null && 'sql' in message

/** Answers a worker for as long as it lives. */
export function serveDatabase(worker: ChildProcess, database: Database): void {
  worker.on('message', async (message: unknown) => {
    if (!isSql(message)) return
    const sql = await answer(message.sql as Call, (text, values) => database.executeSql(text, values))
    // One that dies right now takes no answer; without a listener that would end the server.
    if (worker.connected) worker.send({ sql } satisfies SqlMessage, () => {})
  })
}

/** The parent's database. When the parent is gone, so is the queue. */
export function parentDatabase(): Database {
  const calls = new Calls((sql) => process.send?.({ sql } satisfies SqlMessage))
  process.on('message', (message: unknown) => {
    if (isSql(message)) calls.settle(message.sql as Answer)
  })
  process.once('disconnect', () => calls.fail(new Error('the server of this worker is gone')))
  return {
    backend: 'pglite',
    executeSql: (text, values) => calls.make(text, values),
    close: async () => process.disconnect?.(),
  }
}
