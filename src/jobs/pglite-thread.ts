/** The thread that owns the embedded database: it may compute for long, and the server's event loop must not wait. */
import { parentPort, workerData } from 'node:worker_threads'
import { PGlite } from '@electric-sql/pglite'
import { fromPglite } from 'pg-boss'
import { answer, type Call } from './database.ts'

const { directory } = workerData as { readonly directory: string }
const database = await PGlite.create(directory)
const { executeSql } = fromPglite(database)

parentPort?.on('message', async (call: Call) => {
  if (call.close === true) await database.close()
  parentPort?.postMessage(await answer(call, call.close === true ? async () => ({ rows: [] }) : executeSql))
})
