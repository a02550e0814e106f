/** The queue as the server has it: opened at the first job, with workers of its own where it is embedded. */
import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'
import type { FastifyBaseLogger } from 'fastify'
import { exists } from '../dylora/publish.ts'
import { errors } from '../errors.ts'
import { serveDatabase } from '../jobs/channel.ts'
import { type Database, openEmbedded, openPostgres } from '../jobs/database.ts'
import { JobQueue } from '../jobs/job-queue.ts'

export interface JobServiceOptions {
  /** Of a PostgreSQL; undefined is the embedded queue. */
  readonly databaseUrl: string | undefined
  readonly jobsDirectory: string
  readonly datasetsDirectory: string | undefined
  /** Bytes of one uploaded file. */
  readonly dataLimitBytes: number
  readonly maxQueued: number
  /** Processes that the server starts itself; with a PostgreSQL they come from elsewhere. */
  readonly workers: number
  /** Their CUDA devices, one each in turn; empty leaves them the server's own. */
  readonly deviceIds: readonly number[]
  /** What runs `dylora`: a program's file, and the flags of Node.js before it. */
  readonly program: { readonly file: string; readonly execArgv: readonly string[] }
  /** Of the workers: what the server itself was told. */
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly log: FastifyBaseLogger
}

export class JobService {
  readonly options: JobServiceOptions
  #queue: Promise<JobQueue> | null = null
  readonly #workers = new Set<ChildProcess>()
  #closed = false

  constructor(options: JobServiceOptions) {
    this.options = options
  }

  /** Jobs of an earlier server go on without being asked for. */
  async resume(): Promise<void> {
    const { databaseUrl, jobsDirectory } = this.options
    if (databaseUrl !== undefined || (await exists(join(jobsDirectory, 'queue')))) await this.queue()
  }

  /** Null where no job was ever given. */
  get opened(): Promise<JobQueue> | null {
    return this.#queue
  }

  queue(): Promise<JobQueue> {
    if (this.#closed) throw errors.notReady('The server is shutting down')
    this.#queue ??= this.#open().catch((error) => {
      this.#queue = null
      throw error
    })
    return this.#queue
  }

  async #open(): Promise<JobQueue> {
    const { databaseUrl, jobsDirectory, workers, log } = this.options
    const database =
      databaseUrl === undefined ? await openEmbedded(join(jobsDirectory, 'queue')) : openPostgres(databaseUrl)
    const queue = await JobQueue.open(database, { supervise: true, warn: (error) => log.warn({ err: error }, 'queue') })
    if (databaseUrl === undefined) for (let i = 0; i < workers; i++) this.#startWorker(database, i)
    return queue
  }

  /** One that dies is replaced: its job goes on. */
  #startWorker(database: Database, index: number): void {
    const {
      program: { file, execArgv },
      environment,
      deviceIds,
    } = this.options
    const deviceId = deviceIds[index % deviceIds.length]
    const worker = fork(file, ['worker'], {
      execArgv: [...execArgv],
      env: { ...environment, ...(deviceId !== undefined && { DEVICE_ID: String(deviceId) }) },
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.#workers.add(worker)
    serveDatabase(worker, database)
    worker.once('exit', (code, signal) => {
      this.#workers.delete(worker)
      if (this.#closed) return
      this.options.log.warn({ code, signal }, 'a worker ended and is started anew')
      setTimeout(() => this.#closed || this.#startWorker(database, index), 1000).unref()
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const worker of this.#workers) worker.kill('SIGTERM')
    const queue = await this.#queue?.catch(() => null)
    await queue?.close()
  }
}
