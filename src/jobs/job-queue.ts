/** The queue of training jobs: records and what they told in tables of our own, who takes which in pg-boss. */
import { randomUUID } from 'node:crypto'
import { PgBoss } from 'pg-boss'
import { errors } from '../errors.ts'
import type { Database, Row } from './database.ts'
import type { Job, JobEvent, JobSpec, JobState } from './job.ts'

const queueName = 'train'
/** A worker that is silent for so long is taken for dead, and its job given to another. */
const heartbeatSeconds = 10
/** A job whose workers died so often is what kills them. */
const mostAttempts = 5

const tables = `
CREATE SCHEMA IF NOT EXISTS dylora;
CREATE TABLE IF NOT EXISTS dylora.job (
  id uuid PRIMARY KEY,
  number bigserial UNIQUE,
  queue_id uuid NOT NULL,
  spec jsonb NOT NULL,
  state text NOT NULL,
  reason text,
  attempt integer NOT NULL DEFAULT 0,
  worker text,
  adapter_digest text,
  created_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  ended_at timestamptz
);
CREATE TABLE IF NOT EXISTS dylora.job_event (
  id bigserial PRIMARY KEY,
  job_id uuid NOT NULL REFERENCES dylora.job (id) ON DELETE CASCADE,
  type text NOT NULL,
  data jsonb NOT NULL,
  at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS job_event_of_job ON dylora.job_event (job_id, id);
`

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

/** One attempt at a job, as long as it is the current one. */
export interface Claim {
  readonly id: string
  /** Of its entry in the queue: a retry has another, and counts attempts anew. */
  readonly queueId: string
  readonly attempt: number
  readonly spec: JobSpec
}

export class JobQueue {
  readonly #database: Database
  readonly #boss: PgBoss

  private constructor(database: Database, boss: PgBoss) {
    this.#database = database
    this.#boss = boss
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

  /** Recorded before it is queued: what is recorded is never lost. */
  async submit(id: string, spec: JobSpec): Promise<Job> {
    const queueId = randomUUID()
    await this.#rows('INSERT INTO dylora.job (id, queue_id, spec, state) VALUES ($1, $2, $3, $4)', [
      id,
      queueId,
      JSON.stringify(spec),
      'queued',
    ])
    await this.tell(id, 'state', { state: 'queued' })
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

  /** @throws job_not_found, and conflict for one that is over */
  async cancel(id: string): Promise<Job> {
    const [row] = await this.#rows(
      "UPDATE dylora.job SET state = 'cancelled', ended_at = now() WHERE id = $1 AND state IN ('queued', 'running') RETURNING queue_id",
      [id],
    )
    if (row === undefined)
      throw errors.conflict(`Job ${id} is ${(await this.get(id)).state}: only a queued or running one can be cancelled`)
    await this.#boss.cancel(queueName, String(row.queue_id))
    await this.tell(id, 'state', { state: 'cancelled' })
    return this.get(id)
  }

  /** Queued again, to go on from its checkpoint. @throws job_not_found, and conflict for one that did not fail */
  async retry(id: string): Promise<Job> {
    const queueId = randomUUID()
    const [row] = await this.#rows(
      `UPDATE dylora.job SET state = 'queued', queue_id = $2, reason = NULL, attempt = 0, ended_at = NULL
       WHERE id = $1 AND state IN ('failed', 'cancelled', 'refused') RETURNING spec`,
      [id, queueId],
    )
    if (row === undefined)
      throw errors.conflict(
        `Job ${id} is ${(await this.get(id)).state}: only one that failed or was cancelled can be tried again`,
      )
    await this.tell(id, 'state', { state: 'queued' })
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

  async tell(id: string, type: string, data: Readonly<Record<string, unknown>>): Promise<void> {
    await this.#rows('INSERT INTO dylora.job_event (job_id, type, data) VALUES ($1, $2, $3)', [
      id,
      type,
      JSON.stringify(data),
    ])
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
        const claim = await this.#claim(job.data.id, job.id, worker)
        if (claim !== null) await run(claim, job.signal)
      },
    )
  }

  /** Null where the job is over, or has killed too many workers. */
  async #claim(id: string, queueId: string, worker: string): Promise<Claim | null> {
    const [row] = await this.#rows(
      `UPDATE dylora.job SET state = 'running', attempt = attempt + 1, worker = $2, started_at = coalesce(started_at, now())
       WHERE id = $1 AND queue_id = $3 AND state IN ('queued', 'running', 'publishing') RETURNING attempt, spec`,
      [id, worker, queueId],
    )
    if (row === undefined) return null
    const claim: Claim = { id, queueId, attempt: Number(row.attempt), spec: row.spec as JobSpec }
    if (claim.attempt > mostAttempts) {
      await this.finish(claim, 'failed', `its worker died ${mostAttempts} times`)
      return null
    }
    await this.tell(id, 'state', { state: 'running', attempt: claim.attempt, worker })
    return claim
  }

  /** Is this attempt still the one that counts? */
  async isCurrent({ id, queueId, attempt }: Claim): Promise<boolean> {
    const rows = await this.#rows(
      "SELECT 1 FROM dylora.job WHERE id = $1 AND attempt = $2 AND queue_id = $3 AND state IN ('running', 'publishing')",
      [id, attempt, queueId],
    )
    return rows.length > 0
  }

  /** From here on it cannot be cancelled, and no other attempt publishes: false where this one may not. */
  async beginPublishing({ id, queueId, attempt }: Claim): Promise<boolean> {
    const rows = await this.#rows(
      "UPDATE dylora.job SET state = 'publishing' WHERE id = $1 AND attempt = $2 AND queue_id = $3 AND state = 'running' RETURNING id",
      [id, attempt, queueId],
    )
    return rows.length > 0
  }

  /** Ends the job, unless another attempt or a cancellation came first. */
  async finish(
    { id, queueId, attempt }: Claim,
    state: JobState,
    reason: string | null,
    adapterDigest: string | null = null,
  ): Promise<void> {
    const rows = await this.#rows(
      `UPDATE dylora.job SET state = $3, reason = $4, adapter_digest = $5, ended_at = now()
       WHERE id = $1 AND attempt = $2 AND queue_id = $6 AND state IN ('running', 'publishing') RETURNING id`,
      [id, attempt, state, reason, adapterDigest, queueId],
    )
    if (rows.length > 0)
      await this.tell(id, 'state', {
        state,
        ...(reason !== null && { reason }),
        ...(adapterDigest !== null && { adapter_digest: adapterDigest }),
      })
  }
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
    createdAt: dateOf(row.created_at) as Date,
    startedAt: dateOf(row.started_at),
    endedAt: dateOf(row.ended_at),
  }
}
