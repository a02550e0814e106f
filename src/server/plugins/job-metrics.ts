/** Metrics of training jobs, read from the queue that all servers and workers share: each server tells the same. */
import { Counter, Gauge, type Metric, type Registry } from 'prom-client'
import type { Distribution, JobFigures } from '../../jobs/figures.ts'
import type { JobService } from '../job-service.ts'

type Labels = Readonly<Record<string, string>>
type Sample = readonly [labels: Labels, value: number]
type Read = () => Promise<JobFigures | null>

/** Nothing where no job was ever given, or while the queue cannot be asked. */
export function countJobs(registry: Registry, jobs: JobService): void {
  const read = shared(async () => (await jobs.opened?.then((queue) => queue.figures()).catch(() => null)) ?? null)
  const registers = [registry]
  const gauge = (name: string, help: string, labelNames: string[], samples: (from: JobFigures) => Sample[]) =>
    new Gauge({
      ...{ name: `dylora_${name}`, help, labelNames, registers },
      async collect() {
        const figures = await read()
        this.reset()
        if (figures !== null) for (const [labels, value] of samples(figures)) this.set(labels, value)
      },
    })
  const counter = (name: string, help: string, labelNames: string[], samples: (from: JobFigures) => Sample[]) =>
    new Counter({
      ...{ name: `dylora_${name}`, help, labelNames, registers },
      async collect() {
        const figures = await read()
        this.reset()
        if (figures !== null) for (const [labels, value] of samples(figures)) this.inc(labels, value)
      },
    })
  gauge('jobs', 'Training jobs by state', ['state'], ({ states }) => [...states].map(([state, n]) => [{ state }, n]))
  gauge('jobs_oldest_waiting_seconds', 'For how long the oldest job that waits has done so', [], (figures) => [
    [{}, figures.oldestWaitingSeconds],
  ])
  counter(
    'job_attempts_total',
    'Attempts at jobs: the first, and those after a worker died',
    ['attempt'],
    ({ attempts: { first, again } }) => [
      [{ attempt: 'first' }, first],
      [{ attempt: 'again' }, again],
    ],
  )
  counter('training_steps_total', 'Steps of all trainings', [], ({ work }) => [[{}, work.steps]])
  counter('training_tokens_total', 'Tokens that were trained on', [], ({ work }) => [[{}, work.tokens]])
  counter('training_seconds_total', 'Time in training steps', [], ({ work }) => [[{}, work.seconds]])
  const histogram = (name: string, help: string, distributions: (from: JobFigures) => [Labels, Distribution][]) =>
    registry.registerMetric(new ReadHistogram(`dylora_${name}`, help, read, distributions) as unknown as Metric)
  histogram('job_duration_seconds', 'Training of a job, over all its attempts', ({ durations }) =>
    [...durations].map(([state, distribution]) => [{ state }, distribution]),
  )
  histogram('job_queue_time_seconds', 'From the queue to the first attempt', ({ queueTime }) => [[{}, queueTime]])
}

/** Those who ask while an answer is under way get that one: a scrape reads the queue once. */
function shared<T>(read: () => Promise<T>): () => Promise<T> {
  let underWay: Promise<T> | null = null
  return () => {
    underWay ??= read().finally(() => {
      underWay = null
    })
    return underWay
  }
}

/** The client's own histogram observes; this one tells what was observed elsewhere. Has what a registry asks of a metric. */
class ReadHistogram {
  readonly type = 'histogram'
  readonly aggregator = 'max'
  readonly name: string
  readonly help: string
  readonly #read: Read
  readonly #distributions: (from: JobFigures) => [Labels, Distribution][]

  constructor(name: string, help: string, read: Read, distributions: (from: JobFigures) => [Labels, Distribution][]) {
    this.name = name
    this.help = help
    this.#read = read
    this.#distributions = distributions
  }

  async get() {
    const { name, help, type, aggregator } = this
    const figures = await this.#read()
    const distributions = figures === null ? [] : this.#distributions(figures)
    const values = distributions.flatMap(([labels, { atMost, count, sum }]) => [
      ...[...atMost].map(([le, value]) => ({ metricName: `${name}_bucket`, labels: { ...labels, le }, value })),
      { metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: count },
      { metricName: `${name}_sum`, labels, value: sum },
      { metricName: `${name}_count`, labels, value: count },
    ])
    return { name, help, type, aggregator, values }
  }

  /** What is told is not kept here. */
  reset(): void {}
}
