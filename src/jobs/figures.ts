/** What is counted over all jobs, on whatever machines they ran: read from the queue's tables. */
import type { Row } from './database.ts'
import { type JobState, jobStates } from './job.ts'
import { jobBuckets } from './tables.ts'

/** As Prometheus has histograms: how many were at most each bound, in all, and their sum. */
export interface Distribution {
  readonly atMost: ReadonlyMap<number, number>
  readonly count: number
  readonly sum: number
}

export interface JobFigures {
  readonly states: ReadonlyMap<JobState, number>
  /** Seconds; 0 where none waits. */
  readonly oldestWaitingSeconds: number
  /** `again` are those after a worker died or went silent. */
  readonly attempts: { readonly first: number; readonly again: number }
  /** Of every training, steps that were repeated after a worker died included. */
  readonly work: { readonly steps: number; readonly tokens: number; readonly seconds: number }
  /** Seconds of training by how the job ended. */
  readonly durations: ReadonlyMap<JobState, Distribution>
  /** Seconds from being queued to the first attempt. */
  readonly queueTime: Distribution
}

export async function readFigures(rows: (text: string) => Promise<Row[]>): Promise<JobFigures> {
  const [states, [waiting], tallies] = await Promise.all([
    rows('SELECT state, count(*)::int AS n FROM dylora.job GROUP BY state'),
    rows(`SELECT coalesce(extract(epoch FROM now() - min(queued_at)), 0)::double precision AS age
          FROM dylora.job WHERE state = 'queued'`),
    rows('SELECT metric, label, value FROM dylora.tally'),
  ])
  const counted = new Map(states.map(({ state, n }) => [state, Number(n)]))
  const tally = new Map(tallies.map(({ metric, label, value }) => [`${metric}|${label}`, Number(value)]))
  const value = (metric: string, label = ''): number => tally.get(`${metric}|${label}`) ?? 0
  const distribution = (metric: string, label = ''): Distribution => ({
    atMost: new Map(jobBuckets.map((bound) => [bound, value(`${metric} ${bound}`, label)])),
    count: value(`${metric} count`, label),
    sum: value(`${metric} sum`, label),
  })
  const ended = jobStates.filter((state) => value('duration count', state) > 0)
  return {
    states: new Map(jobStates.map((state) => [state, counted.get(state) ?? 0])),
    oldestWaitingSeconds: Math.max(0, Number(waiting?.age ?? 0)),
    attempts: { first: value('attempts', 'first'), again: value('attempts', 'again') },
    work: { steps: value('steps'), tokens: value('tokens'), seconds: value('seconds') },
    durations: new Map(ended.map((state) => [state, distribution('duration', state)])),
    queueTime: distribution('queue_time'),
  }
}
