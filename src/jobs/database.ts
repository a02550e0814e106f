/** Where the queue lives: PostgreSQL by its address, or an embedded one (PGlite) that one thread of the server owns. */
import { mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import pg from 'pg'
import { errors } from '../errors.ts'

export type Row = Record<string, unknown>

/** What the queue needs of a database; pg-boss takes it as it is. */
export interface Database {
  readonly backend: 'postgres' | 'pglite'
  executeSql(text: string, values?: unknown[]): Promise<{ rows: Row[] }>
  close(): Promise<void>
}

export function openPostgres(url: string): Database {
  const pool = new pg.Pool({ connectionString: url, max: 5, application_name: 'dylora-serve' })
  // A connection that breaks while idle is replaced by the pool; without a listener it would end the process.
  pool.on('error', () => {})
  return {
    backend: 'postgres',
    executeSql: async (text, values) => {
      const results = [await pool.query(text, values)].flat()
      return { rows: results.flatMap(({ rows }) => rows as Row[]) }
    },
    close: () => pool.end(),
  }
}

/**
 * The thread that owns the embedded database: it may compute for long, and the server's event loop must not wait. In plain
 * JavaScript, so that it runs from source and built alike.
 */
const owner = `
const { parentPort, workerData } = require('node:worker_threads')
const ready = Promise.all([import(workerData.pglite), import(workerData.boss)]).then(async ([{ PGlite }, { fromPglite }]) => {
  const database = await PGlite.create(workerData.directory)
  return { database, run: fromPglite(database).executeSql }
})
ready.catch((error) => setImmediate(() => { throw error }))
parentPort.on('message', async ({ id, text, values, close }) => {
  try {
    const { database, run } = await ready
    const rows = close ? (await database.close(), []) : (await run(text, values)).rows
    parentPort.postMessage({ id, rows })
  } catch ({ message, code }) {
    parentPort.postMessage({ id, error: { message, code } })
  }
})
`

/**
 * The embedded database in this directory; made when it is not there.
 * @throws configuration_invalid while another process has it
 */
export async function openEmbedded(directory: string): Promise<Database> {
  await mkdir(directory, { recursive: true })
  const release = await lock(join(directory, 'owner'))
  const [pglite, boss] = ['@electric-sql/pglite', 'pg-boss'].map((name) => import.meta.resolve(name))
  const thread = new Worker(owner, { eval: true, workerData: { directory: join(directory, 'pglite'), pglite, boss } })
  const calls = new Calls((call) => thread.postMessage(call))
  thread.on('message', (answer: Answer) => calls.settle(answer))
  thread.on('error', (error) => calls.fail(error))
  thread.on('exit', () => calls.fail(new Error('the thread of the queue has ended')))
  thread.unref()
  return {
    backend: 'pglite',
    executeSql: (text, values) => calls.make(text, values),
    close: async () => {
      await calls.make('', undefined, true).catch(() => {})
      await thread.terminate()
      await release()
    },
  }
}

/** PGlite itself has no lock, and two owners would destroy it. */
async function lock(path: string): Promise<() => Promise<void>> {
  for (;;) {
    try {
      const handle = await open(path, 'wx')
      await handle.writeFile(String(process.pid))
      await handle.close()
      return () => rm(path, { force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const owner = Number(await readFile(path, 'utf8').catch(() => ''))
    if (isAlive(owner) && owner !== process.pid) {
      throw errors.configurationInvalid([
        `JOBS_DIR: process ${owner} has the queue in it: expected one server for each`,
      ])
    }
    // Of a process that was killed.
    await rm(path, { force: true })
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

export interface Call {
  readonly id: number
  readonly text: string
  readonly values: unknown[] | undefined
  readonly close?: boolean
}

export interface Answer {
  readonly id: number
  readonly rows?: Row[]
  /** Message and SQL state. */
  readonly error?: { readonly message: string; readonly code?: string }
}

/** Calls that wait for their answers, over whatever carries them. */
export class Calls {
  readonly #send: (call: Call) => void
  readonly #waiting = new Map<number, { resolve: (result: { rows: Row[] }) => void; reject: (error: Error) => void }>()
  #next = 0
  #failure: Error | null = null

  constructor(send: (call: Call) => void) {
    this.#send = send
  }

  make(text: string, values: unknown[] | undefined, close = false): Promise<{ rows: Row[] }> {
    if (this.#failure !== null) return Promise.reject(this.#failure)
    const id = this.#next++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#send({ id, text, values, close })
    })
  }

  settle({ id, rows = [], error }: Answer): void {
    const call = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (error === undefined) call?.resolve({ rows })
    else call?.reject(Object.assign(new Error(error.message), { code: error.code }))
  }

  fail(error: Error): void {
    this.#failure = error
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
  }
}

/** The answer to a call, whatever happens. */
export async function answer({ id, text, values }: Call, run: Database['executeSql']): Promise<Answer> {
  try {
    return { id, rows: (await run(text, values)).rows }
  } catch (error) {
    const { message, code } = error as Error & { code?: string }
    return { id, error: { message, ...(code !== undefined && { code }) } }
  }
}
