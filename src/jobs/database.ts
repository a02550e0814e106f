/** Where the queue lives: PostgreSQL by its address, or an embedded one (PGlite) that one thread of the server owns. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import pg from 'pg'
import { errors } from '../errors.ts'
import { OwnerLease } from './owner-lease.ts'

export type Row = Record<string, unknown>

/** What the queue needs of a database; pg-boss takes it as it is. */
export interface Database {
  readonly backend: 'postgres' | 'pglite'
  executeSql(text: string, values?: unknown[]): Promise<{ rows: Row[] }>
  close(): Promise<void>
}

/** Of the file system, and of a PostgreSQL that says the same of its own. */
const fullCodes: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG', '53100'])

export const isStorageFull = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && fullCodes.has(error.code)

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
const { existsSync, renameSync, rmSync } = require('node:fs')
const { parentPort, workerData } = require('node:worker_threads')
const ready = Promise.all([import(workerData.pglite), import(workerData.boss)]).then(async ([{ PGlite }, { fromPglite }]) => {
  const { directory } = workerData
  // A database that was half made when the disk was full, or the process ended, can never be opened.
  if (!existsSync(directory)) {
    const unfinished = directory + '.unfinished'
    rmSync(unfinished, { recursive: true, force: true })
    await (await PGlite.create(unfinished)).close()
    renameSync(unfinished, directory)
  }
  const database = await PGlite.create(directory)
  return { database, run: fromPglite(database).executeSql }
})
ready.catch((error) => setImmediate(() => { throw error }))
parentPort.on('message', async ({ id, text, values, close }) => {
  try {
    const { database, run } = await ready
    const rows = close ? (await database.close(), []) : (await run(text, values)).rows
    parentPort.postMessage({ id, rows })
  } catch ({ message, code, errno }) {
    // The database's own file system has numbers for errors, and no words.
    const full = errno === 51
    parentPort.postMessage({ id, error: { message: message || 'error ' + errno, code: full ? 'ENOSPC' : code } })
  }
})
`

/**
 * The embedded database in this directory; made when it is not there.
 * @throws configuration_invalid while another process has it
 */
export async function openEmbedded(directory: string): Promise<Database> {
  await mkdir(directory, { recursive: true })
  // PGlite itself has no lock, and two owners would destroy it.
  const lease = await OwnerLease.take(join(directory, 'owner'))
  if (lease === null)
    throw errors.configurationInvalid(['JOBS_DIR: another server has the queue in it: expected one for each'])
  const [pglite, boss] = ['@electric-sql/pglite', 'pg-boss'].map((name) => import.meta.resolve(name))
  const thread = new Worker(owner, { eval: true, workerData: { directory: join(directory, 'pglite'), pglite, boss } })
  const calls = new Calls((call) => thread.postMessage(call))
  thread.on('message', (answer: Answer) => calls.settle(answer))
  thread.on('error', (error) => calls.fail(error))
  thread.on('exit', () => calls.fail(new Error('the thread of the queue has ended')))
  thread.unref()
  return {
    backend: 'pglite',
    executeSql: async (text, values) => {
      const state = await lease.state()
      if (state === 'unsure') throw errors.notReady('JOBS_DIR could not be written for a while')
      if (state === 'lost') {
        calls.fail(errors.notReady('Another server has taken the queue in JOBS_DIR'))
        await thread.terminate()
      }
      return calls.make(text, values)
    },
    close: async () => {
      await calls.make('', undefined, true).catch(() => {})
      await thread.terminate()
      await lease.release()
    },
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
