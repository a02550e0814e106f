/** The queue as the server has it: opened at the first job, with workers of its own where it is embedded. */
import { type ChildProcess, fork } from 'node:child_process'
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { FastifyBaseLogger } from 'fastify'
import { exists } from '../dylora/publish.ts'
import { readTokenizer, type Tokenizer } from '../dylora/tokenizer.ts'
import { errors } from '../errors.ts'
import type { Bases } from '../jobs/bases.ts'
import { serveDatabase } from '../jobs/channel.ts'
import { type Database, isStorageFull, openEmbedded, openPostgres } from '../jobs/database.ts'
import { JobQueue, type Retention } from '../jobs/job-queue.ts'
import { removeBrokenUploads, removeExpired } from '../jobs/retention.ts'

const hour = 3_600_000
const sweepEveryMs = 30_000

/** A new queue takes some 40 MB. */
async function hasNoRoom(directory: string): Promise<boolean> {
  const { bavail, bsize } = await statfs(directory)
  return bavail * bsize < 40e6
}

export interface JobServiceOptions {
  /** Of a PostgreSQL; undefined is the embedded queue. */
  readonly databaseUrl: string | undefined
  readonly jobsDirectory: string
  readonly datasetsDirectory: string | undefined
  /** Bytes of one uploaded file. */
  readonly dataLimitBytes: number
  readonly maxQueued: number
  /** Of the files of ended jobs. */
  readonly retention: Retention
  /** Where the bases are that a job may name. */
  readonly bases: Bases
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
  /** Jobs that are being received. */
  #receiving = 0
  #tokenizer: { readonly directory: string; readonly read: Promise<Tokenizer> } | null = null
  #sweeping: NodeJS.Timeout | null = null
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
    // Nobody else receives where the queue is embedded: what is there is of a server that was killed.
    const abandonedMs = databaseUrl === undefined ? 0 : hour
    const database =
      databaseUrl === undefined ? await openEmbedded(join(jobsDirectory, 'queue')) : openPostgres(databaseUrl)
    const queue = await JobQueue.open(database, {
      supervise: true,
      warn: (error) => log.warn({ err: error }, 'queue'),
    }).catch(async (error: unknown) => {
      // Or the next who asks would find it taken.
      await database.close().catch(() => {})
      log.error({ err: error }, 'the queue cannot be opened')
      // What the embedded database says of it may be anything.
      const isFull = isStorageFull(error) || (databaseUrl === undefined && (await hasNoRoom(jobsDirectory)))
      throw isFull ? errors.storageFull('There is no room for the queue of jobs') : error
    })
    await removeBrokenUploads(jobsDirectory, abandonedMs)
    this.#sweeping = setInterval(() => void this.#sweep(queue), sweepEveryMs).unref()
    if (databaseUrl === undefined) for (let i = 0; i < workers; i++) this.#startWorker(database, i)
    return queue
  }

  /** Files that are no longer wanted; whatever goes wrong is tried again the next time. */
  async #sweep(queue: JobQueue): Promise<void> {
    const { jobsDirectory, retention, log } = this.options
    try {
      const removed = await removeExpired(queue, jobsDirectory, retention)
      if (removed.length > 0) log.info({ jobs: removed }, 'files of ended jobs removed')
      await removeBrokenUploads(jobsDirectory, hour)
    } catch (error) {
      if (!this.#closed) log.warn({ err: error }, 'files of ended jobs could not be removed')
    }
  }

  /**
   * A place for a job that is being received, given back with what this returns: so many files at most are under way as jobs
   * may wait. Throws `overloaded`.
   */
  async admit(): Promise<() => void> {
    const { maxQueued } = this.options
    const queue = await this.queue()
    this.#receiving += 1
    let given = false
    const giveBack = () => {
      if (!given) this.#receiving -= 1
      given = true
    }
    const counts = await queue.counts().catch((error: unknown) => {
      giveBack()
      throw error
    })
    const open = ['queued', 'running', 'publishing'].reduce((sum, state) => sum + (counts.get(state) ?? 0), 0)
    if (open + this.#receiving <= maxQueued) return giveBack
    giveBack()
    throw errors.overloaded(`${open} jobs wait or run: expected fewer than ${maxQueued}`)
  }

  /** Kept from job to job, for most are for one base. */
  tokenizer(directory: string): Promise<Tokenizer> {
    if (this.#tokenizer?.directory !== directory) this.#tokenizer = { directory, read: readTokenizer(directory) }
    return this.#tokenizer.read
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
    worker.on('error', (error) => this.options.log.warn({ err: error }, 'a worker cannot be reached'))
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
    if (this.#sweeping !== null) clearInterval(this.#sweeping)
    for (const worker of this.#workers) worker.kill('SIGTERM')
    const queue = await this.#queue?.catch(() => null)
    await queue?.close()
  }
}
