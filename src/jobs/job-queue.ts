/** The queue of training jobs: records and what they told in tables of our own, who takes which in pg-boss. */
import { randomUUID } from 'node:crypto'
import { PgBoss } from 'pg-boss'
import { errors } from '../errors.ts'
import { Attempts, type Claim, mostAttempts } from './attempts.ts'
import type { Database, Row } from './database.ts'
import { type JobFigures, readFigures } from './figures.ts'
import type { Job, JobEvent, JobSpec, JobState } from './job.ts'
import { bucketArray, tables } from './tables.ts'

const queueName = 'train'
/** A worker that is silent for so long is taken for dead, and its job given to another. */
const heartbeatSeconds = 10
/** How long, and of how many ended jobs at most, files are kept. */
export interface Retention {
  readonly seconds: number
  readonly jobs: number
}

export interface JobFilter {
  readonly state?: JobState | undefined
  readonly adapter?: string | undefined
  readonly limit: number
  /** The `number` that a page before ended with. */
  readonly before?: number | undefined
}

export interface QueueOptions {
  /** Makes tables, looks after the queue; one server at least has to. */
  readonly supervise: boolean
  readonly warn: (error: unknown) => void
}

export class JobQueue {
  readonly #database: Database
  readonly #boss: PgBoss
  /** What those who work on jobs say. */
  readonly attempts: Attempts

  private constructor(database: Database, boss: PgBoss) {
    this.#database = database
    this.#boss = boss
    this.attempts = new Attempts((text, values) => this.#rows(text, values))
  }

  static async open(database: Database, { supervise, warn }: QueueOptions): Promise<JobQueue> {
    const { backend } = database
    const boss = new PgBoss({
      db: { executeSql: (text, values) => database.executeSql(text, values) },
      ...{ backend, supervise, schedule: false, migrate: supervise, createSchema: supervise },
      ...{ superviseIntervalSeconds: 2, monitorIntervalSeconds: 2 },
    })
    boss.on('error', warn)
    await boss.start()
    const queue = new JobQueue(database, boss)
    if (supervise) {
      await database.executeSql(tables)
      await boss.createQueue(queueName, { retryLimit: mostAttempts, retryDelay: 1, heartbeatSeconds })
      await queue.#enqueueForgotten()
    }
    return queue
  }

  async close(): Promise<void> {
    await this.#boss.stop({ graceful: false })
    await this.#database.close()
  }

  async #rows(text: string, values: unknown[] = []): Promise<Row[]> {
    return (await this.#database.executeSql(text, values)).rows
  }

  /** Recorded before it is queued: what is recorded is never lost. @throws overloaded where `most` wait or run */
  async submit(id: string, spec: JobSpec, most: number): Promise<Job> {
    const queueId = randomUUID()
    const [row] = await this.#rows(
      `INSERT INTO dylora.job (id, queue_id, spec, state)
       SELECT $1::uuid, $2::uuid, $3::jsonb, 'queued' WHERE dylora.admit($4::integer) RETURNING id`,
      [id, queueId, JSON.stringify(spec), most],
    )
    if (row === undefined) throw tooMany(most)
    await this.#tell(id, { state: 'queued' })
    try {
      await this.#send(id, queueId, spec)
    } catch (error) {
      // Whoever asked is told that it was not taken, so it must not run later.
      await this.#rows('DELETE FROM dylora.job WHERE id = $1', [id])
      throw error
    }
    return this.get(id)
  }

  async #send(id: string, queueId: string, { priority, time_limit_seconds: limit }: JobSpec): Promise<void> {
    await this.#boss.send(queueName, { id }, { id: queueId, priority, expireInSeconds: limit + 60 })
  }

  /** Jobs of a server that ended between the two: known ids are not queued twice. */
  async #enqueueForgotten(): Promise<void> {
    for (const { id, queue_id: queueId, spec } of await this.#rows(
      "SELECT id, queue_id, spec FROM dylora.job WHERE state = 'queued'",
    )) {
      await this.#send(String(id), String(queueId), spec as JobSpec)
    }
  }

  /** @throws job_not_found */
  async get(id: string): Promise<Job> {
    const [row] = await this.#rows('SELECT * FROM dylora.job WHERE id = $1', [id])
    if (row === undefined) throw errors.jobNotFound(id)
    return jobOf(row)
  }

  /** The newest first, with the number that the next page begins before. */
  async list({ state, adapter, limit, before }: JobFilter): Promise<{ jobs: Job[]; next: number | null }> {
    const rows = await this.#rows(
      `SELECT * FROM dylora.job
       WHERE ($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR spec->>'adapter' = $2) AND ($3::bigint IS NULL OR number < $3)
       ORDER BY number DESC LIMIT $4`,
      [state ?? null, adapter ?? null, before ?? null, limit + 1],
    )
    const page = rows.slice(0, limit)
    return { jobs: page.map(jobOf), next: rows.length > limit ? Number(page.at(-1)?.number) : null }
  }

  async counts(): Promise<ReadonlyMap<string, number>> {
    const rows = await this.#rows('SELECT state, count(*)::int AS n FROM dylora.job GROUP BY state')
    return new Map(rows.map(({ state, n }) => [String(state), Number(n)]))
  }

  figures(): Promise<JobFigures> {
    return readFigures((text) => this.#rows(text))
  }

  /** @throws job_not_found, and conflict for one that is over */
  async cancel(id: string): Promise<Job> {
    const [row] = await this.#rows(
      `WITH ended AS (
         UPDATE dylora.job SET state = 'cancelled', ended_at = now()
         WHERE id = $1 AND state IN ('queued', 'running') RETURNING queue_id, run_seconds
       ) SELECT queue_id, dylora.observe('duration', 'cancelled', run_seconds, ${bucketArray}) FROM ended`,
      [id],
    )
    if (row === undefined)
      throw errors.conflict(`Job ${id} is ${(await this.get(id)).state}: only a queued or running one can be cancelled`)
    await this.#boss.cancel(queueName, String(row.queue_id))
    await this.#tell(id, { state: 'cancelled' })
    return this.get(id)
  }

  /**
   * Queued again, to go on from its checkpoint. Throws `job_not_found`, `conflict` for one that did not fail or whose files
   * are gone, and `overloaded` where `most` wait or run.
   */
  async retry(id: string, most: number): Promise<Job> {
    const queueId = randomUUID()
    const [row] = await this.#rows(
      `UPDATE dylora.job SET state = 'queued', queue_id = $2, reason = NULL, attempt = 0, run_seconds = 0, progress = NULL,
         queued_at = now(), started_at = NULL, ended_at = NULL
       WHERE id = $1 AND state IN ('failed', 'cancelled', 'refused') AND files = 'kept' AND dylora.admit($3::integer)
       RETURNING spec`,
      [id, queueId, most],
    )
    if (row === undefined) throw whyNoRetry(await this.get(id), most)
    await this.#tell(id, { state: 'queued' })
    await this.#send(id, queueId, row.spec as JobSpec)
    return this.get(id)
  }

  /** What a job told after the event of this number, oldest first. */
  async events(id: string, after: number, limit = 1000): Promise<JobEvent[]> {
    const rows = await this.#rows(
      'SELECT id, type, data, at FROM dylora.job_event WHERE job_id = $1 AND id > $2 ORDER BY id LIMIT $3',
      [id, after, limit],
    )
    return rows.map(({ id: number, type, data, at }) => ({
      ...{ id: Number(number), type: String(type), data: data as JobEvent['data'], at: dateOf(at) as Date },
    }))
  }

  async #tell(id: string, state: Readonly<Record<string, unknown>>): Promise<void> {
    await this.#rows("INSERT INTO dylora.job_event (job_id, type, data) VALUES ($1, 'state', $2)", [
      id,
      JSON.stringify(state),
    ])
  }

  /** Ended jobs whose files are no longer kept: marked first, so that none of them is tried again meanwhile. */
  async expired({ seconds, jobs }: Retention): Promise<string[]> {
    const over = "state IN ('succeeded', 'refused', 'failed', 'cancelled')"
    await this.#rows(
      `UPDATE dylora.job SET files = 'removing' WHERE files = 'kept' AND ${over} AND (
         ended_at < now() - make_interval(secs => $1::double precision)
         OR id NOT IN (SELECT id FROM dylora.job WHERE files = 'kept' AND ${over} ORDER BY ended_at DESC LIMIT $2))`,
      [seconds, jobs],
    )
    // Of a server that ended in between, too.
    return (await this.#rows("SELECT id FROM dylora.job WHERE files = 'removing'")).map(({ id }) => String(id))
  }

  /** Its files are gone, and so is its story; the record stays. */
  async forget(id: string): Promise<void> {
    await this.#rows("UPDATE dylora.job SET files = 'removed' WHERE id = $1 AND files = 'removing'", [id])
    await this.#rows("DELETE FROM dylora.job_event WHERE job_id = $1 AND type <> 'state'", [id])
  }

  /** Takes jobs one after the other; `run` throws nothing that is not a bug. */
  async work(
    worker: string,
    concurrency: number,
    run: (claim: Claim, signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    await this.#boss.work<{ id: string }>(
      queueName,
      { batchSize: 1, localConcurrency: concurrency, pollingIntervalSeconds: 0.5, heartbeatRefreshSeconds: 2 },
      async ([job]) => {
        if (job === undefined) return
        const claim = await this.attempts.claim(job.data.id, job.id, worker)
        if (claim !== null) await run(claim, job.signal)
      },
    )
  }
}

const tooMany = (most: number): Error =>
  errors.overloaded(`As many jobs wait or run as may: expected fewer than ${most}`)

function whyNoRetry({ id, state, filesKept }: Job, most: number): Error {
  if (!['failed', 'cancelled', 'refused'].includes(state))
    return errors.conflict(`Job ${id} is ${state}: only one that failed or was cancelled can be tried again`)
  if (!filesKept) return errors.conflict(`The files of job ${id} are no longer kept: expected one within JOB_RETENTION`)
  return tooMany(most)
}

const dateOf = (value: unknown): Date | null =>
  value === null || value === undefined ? null : new Date(value as string | Date)

function jobOf(row: Row): Job {
  return {
    id: String(row.id),
    spec: row.spec as JobSpec,
    state: row.state as JobState,
    reason: row.reason as string | null,
    attempt: Number(row.attempt),
    worker: row.worker as string | null,
    adapterDigest: row.adapter_digest as string | null,
    progress: (row.progress as Job['progress']) ?? null,
    filesKept: row.files === 'kept',
    createdAt: dateOf(row.created_at) as Date,
    startedAt: dateOf(row.started_at),
    endedAt: dateOf(row.ended_at),
  }
}
