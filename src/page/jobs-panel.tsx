/** Trainings: those that wait and run, the loss of each rank as it falls, and a form to start one. */
import { useEffect, useState } from 'preact/hooks'
import { Chart, Legend, type Line } from './chart.tsx'
import { formatDuration, formatShare, formatTick, formatTime, formatValue, shortDigest } from './format.ts'
import { JobForm } from './job-form.tsx'
import { emptyStory, type JobStory, withEvent } from './job-story.ts'
import { cancelJob, type Job, listJobs, retryJob, watchJob } from './jobs-api.ts'
import { usePoll } from './poll.ts'
import type { Service } from './service.ts'

export function JobsPanel({ service }: { readonly service: Service }) {
  const [asked, again] = useState(0)
  const { value: jobs, error } = usePoll(listJobs, 3000, [asked])
  const [chosen, choose] = useState<string | null>(null)
  const job = jobs?.find(({ id }) => id === chosen) ?? jobs?.[0] ?? null
  return (
    <section aria-labelledby="jobs-title">
      <h1 id="jobs-title">Training jobs</h1>
      <p class="lead">
        One training makes an adapter for all of its ranks. It is measured at every rank and published by itself, unless
        its gate refuses.
      </p>
      {error && (
        <p class="notice" role="alert">
          {error.message}
        </p>
      )}
      <JobForm
        limitBytes={service.info?.limits.job_data_limit_bytes ?? null}
        started={(id) => {
          choose(id)
          again(asked + 1)
        }}
      />
      {job && <JobFigure key={job.id} job={job} />}
      {jobs && <JobTable jobs={jobs} shown={job?.id ?? null} choose={choose} changed={() => again(asked + 1)} />}
    </section>
  )
}

const canCancel = ({ state }: Job): boolean => state === 'queued' || state === 'running'
const canRetry = ({ state }: Job): boolean => ['failed', 'cancelled', 'refused'].includes(state)

interface JobTableProps {
  readonly jobs: readonly Job[]
  readonly shown: string | null
  readonly choose: (id: string) => void
  readonly changed: () => void
}

function JobTable({ jobs, shown, choose, changed }: JobTableProps) {
  const [failure, setFailure] = useState('')
  const act = (what: Promise<Job>) => {
    setFailure('')
    what.then(changed, (error: Error) => setFailure(error.message))
  }
  if (jobs.length === 0) return <p class="empty">No job was ever given.</p>
  return (
    <>
      {failure !== '' && (
        <p class="notice" role="alert">
          {failure}
        </p>
      )}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a table that scrolls has to be reached by keyboard */}
      <section class="scroll" tabIndex={0} aria-label="Jobs">
        <table>
          <caption>The newest first</caption>
          <thead>
            <tr>
              <th scope="col">adapter</th>
              <th scope="col">state</th>
              <th scope="col">given at</th>
              <th scope="col">attempt</th>
              <th scope="col" class="wide">
                outcome
              </th>
              <th scope="col">
                <span class="unit">actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {jobs.map((job) => (
              <tr key={job.id} class={job.id === shown ? 'chosen' : ''}>
                <th scope="row">{job.spec.adapter}</th>
                <td>{job.state}</td>
                <td>{formatTime(new Date(job.created_at))}</td>
                <td>{job.attempt}</td>
                <td class="wide">
                  {job.reason ?? (job.adapter_digest ? `published ${shortDigest(job.adapter_digest)}` : '')}
                </td>
                <td>
                  <button type="button" onClick={() => choose(job.id)}>
                    Watch
                  </button>{' '}
                  {canCancel(job) && (
                    <button type="button" onClick={() => act(cancelJob(job.id))}>
                      Cancel
                    </button>
                  )}
                  {canRetry(job) && (
                    <button type="button" onClick={() => act(retryJob(job.id))}>
                      Try again
                    </button>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </>
  )
}

/** What a job tells, from its first event on. */
function useStory(id: string, state: string): JobStory {
  const [story, setStory] = useState(emptyStory)
  // A job that is tried again tells more.
  const waits = state === 'queued'
  useEffect(() => {
    const controller = new AbortController()
    setStory(emptyStory)
    const follow = async () => {
      for await (const event of watchJob(id, controller.signal)) setStory((before) => withEvent(before, event))
    }
    void follow()
    return () => controller.abort()
  }, [id, waits])
  return story
}

const styles = ['solid', 'dashed', 'dotted'] as const
const colors = [1, 2, 3] as const

/** The lowest, a middle and the highest rank: more lines than these nobody tells apart. */
function shownRanks({ validations }: JobStory): string[] {
  const ranks = Object.keys(validations.at(-1)?.byRank ?? {}).filter((rank) => rank !== '0')
  const middle = ranks[Math.floor((ranks.length - 1) / 2)]
  return [...new Set([ranks[0], middle, ranks.at(-1)])].filter((rank): rank is string => rank !== undefined)
}

function linesOf(story: JobStory): { x: number[]; lines: Line[] } {
  const { losses, validations } = story
  const x = [...new Set([...losses, ...validations].map(({ step }) => step))].sort((a, b) => a - b)
  const trained = new Map(losses.map(({ step, loss }) => [step, loss]))
  const ranks = shownRanks(story).map((rank, i): Line => {
    const measured = new Map(validations.map(({ step, byRank }) => [step, byRank[rank] ?? null]))
    return {
      label: `validation loss at rank ${rank}`,
      values: x.map((step) => measured.get(step) ?? null),
      ...{ color: colors[i] ?? 3, style: styles[i] ?? 'dotted', spanGaps: true },
    }
  })
  const training: Line = {
    label: 'training loss',
    values: x.map((step) => trained.get(step) ?? null),
    ...{ color: 3, style: 'dotted', spanGaps: true },
  }
  return { x, lines: ranks.length < 3 ? [...ranks, training] : ranks }
}

function JobFigure({ job }: { readonly job: Job }) {
  const story = useStory(job.id, job.state)
  const { x, lines } = linesOf(story)
  const { step, steps, secondsLeft, evaluated, validations, quality } = story
  const measured = Object.entries(quality)
  const latest = validations.at(-1)
  return (
    <figure aria-label={`Job for ${job.spec.adapter}`}>
      <figcaption>
        <h2>
          {job.spec.adapter} <span class="muted">{job.state}</span>
        </h2>
        <span class="muted" role="status">
          {steps !== null && `step ${step} of ${steps}`}
          {job.state === 'running' && secondsLeft !== null && `, ${formatDuration(secondsLeft)} left`}
          {job.state === 'running' && evaluated !== null && `, evaluation ${formatShare(evaluated)}`}
        </span>
      </figcaption>
      {x.length > 0 && (
        <>
          <Chart
            description={`Loss of ${job.spec.adapter} by step; the latest numbers stand below`}
            {...{ x, lines, format: formatTick, formatX: String, xLabel: 'step' }}
          />
          <Legend lines={lines} />
        </>
      )}
      {latest && (
        <p>
          Validation loss after step {latest.step}:{' '}
          {Object.entries(latest.byRank)
            .map(([rank, loss]) => `${rank === '0' ? 'base' : `rank ${rank}`} ${formatValue(loss)}`)
            .join(', ')}
          .
        </p>
      )}
      {measured.length > 0 && (
        <p>Measured: {measured.map(([what, value]) => `${what} ${formatValue(value)}`).join(', ')}.</p>
      )}
      {job.reason && <p class="notice">{job.reason}</p>}
      {job.state === 'succeeded' && (
        <p>
          Published: its curve is under <a href={`#ranks/${job.spec.adapter}`}>Ranks</a>.
        </p>
      )}
    </figure>
  )
}
