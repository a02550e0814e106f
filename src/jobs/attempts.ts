/** What an attempt at a job may say and do: all of it only as long as it is the current one. */
import type { Row } from './database.ts'
import type { JobSpec, JobState } from './job.ts'
import { bucketArray } from './tables.ts'

/** A job whose workers died so often is what kills them. */
export const mostAttempts = 5

/** One attempt at a job, as long as it is the current one. */
export interface Claim {
  readonly id: string
  /** Of its entry in the queue: a retry has another, and counts attempts anew. */
  readonly queueId: string
  readonly attempt: number
  readonly spec: JobSpec
  /** What the attempts before it took. */
  readonly runSeconds: number
}

type Facts = Readonly<Record<string, unknown>>

/** What a training did since it last said so. */
export interface Work {
  readonly steps: number
  readonly tokens: number
  readonly seconds: number
}

/** Of these a job keeps the last, beside its story. */
const progressTypes: ReadonlySet<string> = new Set(['step', 'validation', 'evaluation'])

const isCurrent = `id = $1 AND queue_id = $2 AND attempt = $3`
const keyOf = ({ id, queueId, attempt }: Claim): unknown[] => [id, queueId, attempt]

export class Attempts {
  readonly #rows: (text: string, values: unknown[]) => Promise<Row[]>

  constructor(rows: (text: string, values: unknown[]) => Promise<Row[]>) {
    this.#rows = rows
  }

  /** Null where the job is over, or has killed too many workers. */
  async claim(id: string, queueId: string, worker: string): Promise<Claim | null> {
    const [row] = await this.#rows(
      `WITH claimed AS (
         UPDATE dylora.job SET state = 'running', attempt = attempt + 1, worker = $3, started_at = coalesce(started_at, now())
         WHERE id = $1 AND queue_id = $2 AND state IN ('queued', 'running', 'publishing')
         RETURNING attempt, spec, run_seconds, queued_at
       )
       SELECT attempt, spec, run_seconds, dylora.add('attempts', CASE WHEN attempt = 1 THEN 'first' ELSE 'again' END, 1),
         CASE WHEN attempt = 1 THEN
           dylora.observe('queue_time', '', extract(epoch FROM now() - queued_at)::double precision, ${bucketArray})
         END
       FROM claimed`,
      [id, queueId, worker],
    )
    if (row === undefined) return null
    const { attempt, spec, run_seconds: seconds } = row
    const claim = { id, queueId, attempt: Number(attempt), spec: spec as JobSpec, runSeconds: Number(seconds) }
    if (claim.attempt > mostAttempts) {
      await this.finish(claim, 'failed', `its worker died ${mostAttempts} times`)
      return null
    }
    await this.tell(claim, 'state', { state: 'running', attempt: claim.attempt, worker })
    return claim
  }

  /** Notes how long the job has run by now, over all attempts; false where this attempt is no longer the one that counts. */
  async beat(claim: Claim, runSeconds: number): Promise<boolean> {
    const rows = await this.#rows(
      `UPDATE dylora.job SET run_seconds = $4 WHERE ${isCurrent} AND state IN ('running', 'publishing') RETURNING id`,
      [...keyOf(claim), runSeconds],
    )
    return rows.length > 0
  }

  /** A line of the job's story. */
  async tell(claim: Claim, type: string, data: Facts, work?: Work): Promise<void> {
    const progress = progressTypes.has(type) ? { [type]: data } : {}
    const [told] = await this.#rows(
      `WITH mine AS (
         UPDATE dylora.job SET progress = coalesce(progress, '{}') || $6::jsonb
         WHERE ${isCurrent} AND state IN ('running', 'publishing') RETURNING id
       )
       INSERT INTO dylora.job_event (job_id, type, data) SELECT id, $4::text, $5::jsonb FROM mine RETURNING id`,
      [...keyOf(claim), type, JSON.stringify(data), JSON.stringify(progress)],
    )
    if (told === undefined || work === undefined) return
    await this.#rows(
      `SELECT dylora.add('steps', '', $1::double precision), dylora.add('tokens', '', $2::double precision),
              dylora.add('seconds', '', $3::double precision)`,
      [work.steps, work.tokens, work.seconds],
    )
  }

  /** From here on it cannot be cancelled, and no other attempt publishes: false where this one may not. */
  async beginPublishing(claim: Claim): Promise<boolean> {
    const rows = await this.#rows(
      `UPDATE dylora.job SET state = 'publishing' WHERE ${isCurrent} AND state = 'running' RETURNING id`,
      keyOf(claim),
    )
    return rows.length > 0
  }

  /** Ends the job, unless another attempt or a cancellation came first. */
  async finish(
    claim: Claim,
    state: JobState,
    reason: string | null,
    adapterDigest: string | null = null,
  ): Promise<void> {
    const facts = {
      state,
      ...(reason !== null && { reason }),
      ...(adapterDigest !== null && { adapter_digest: adapterDigest }),
    }
    await this.#rows(
      `WITH ended AS (
         UPDATE dylora.job SET state = $4, reason = $5, adapter_digest = $6, ended_at = now()
         WHERE ${isCurrent} AND state IN ('running', 'publishing') RETURNING id, run_seconds
       ), told AS (
         INSERT INTO dylora.job_event (job_id, type, data) SELECT id, 'state', $7::jsonb FROM ended
       )
       SELECT dylora.observe('duration', $4::text, run_seconds, ${bucketArray}) FROM ended`,
      [...keyOf(claim), state, reason, adapterDigest, JSON.stringify(facts)],
    )
  }
}
