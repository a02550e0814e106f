/** Load over HTTP: closed loops, in which a client sends again when it has its answer, and an open one with random arrivals. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { randomSource } from '../../training/random.ts'
import type { Served, Streamed } from './http-load.ts'
import { quantile, type Row, type Table } from './report.ts'
import type { BenchOptions } from './scale.ts'
import { requestsOf, traffics } from './traffic.ts'

type Subject = Pick<BenchOptions, 'scale' | 'rounds'> & { readonly http: Served }

/** Milliseconds between two looks at the clock: what the event loop's delay is read with. */
const resolution = 1

export async function loadTable(subject: Subject): Promise<Table> {
  const { scale } = subject
  const most = Math.max(...scale.streams)
  await closedLoop(subject, scale.crowd)
  const closed = await observed(() => closedLoop(subject, scale.crowd))
  const full = await observed(() => closedLoop(subject, most))
  const rows = [rowOf(`closed, ${scale.crowd} clients`, closed), rowOf(`closed, ${most} clients`, full)]
  for (const share of [0.5, 0.8]) {
    const perSecond = share * closed.perSecond
    rows.push(rowOf(`open, ${100 * share} % of that rate`, await observed(() => openLoop(subject, perSecond))))
  }
  return {
    title: 'Load over HTTP',
    note: `four adapters at ranks 4/8/16/64, ${scale.promptTokens} prompt tokens and ${2 * scale.steps} new ones; the client shares the process and its event loop; rate of the open loops: of the first line, Poisson arrivals`,
    rows,
  }
}

interface Observed {
  readonly answers: readonly Streamed[]
  readonly perSecond: number
  readonly loopDelayMs: number
}

async function observed(load: () => Promise<Streamed[]>): Promise<Observed> {
  const delay = monitorEventLoopDelay({ resolution })
  const started = performance.now()
  delay.enable()
  const answers = await load()
  delay.disable()
  const perSecond = (1000 * answers.length) / (performance.now() - started)
  return { answers, perSecond, loopDelayMs: Math.max(0, delay.percentile(99) / 1e6 - resolution) }
}

function rowOf(load: string, { answers, perSecond, loopDelayMs }: Observed): Row {
  const first = answers.map(({ firstToken }) => firstToken)
  const gaps = answers.flatMap((answer) => answer.gaps)
  const at = (values: readonly number[]) =>
    [0.5, 0.9, 0.99].map((share) => quantile(values, share).toFixed(0)).join(' / ')
  return {
    ...{ load, requests: answers.length, 'requests/s': perSecond },
    ...{ 'first token ms (p50 / p90 / p99)': at(first), 'between tokens ms (p50 / p90 / p99)': at(gaps) },
    'p99 loop delay ms': loopDelayMs,
  }
}

function askedOf({ scale }: Subject, count: number) {
  const ask = traffics['four adapters, ranks 4/8/16/64'] ?? (() => ({}))
  return requestsOf(scale, count, ask).map((asked) => ({ ...asked, maxNewTokens: 2 * scale.steps }))
}

async function closedLoop(subject: Subject, clients: number): Promise<Streamed[]> {
  const asked = askedOf(subject, clients)
  const ofEach = asked.map(async (each) => {
    const answers: Streamed[] = []
    for (let round = 0; round < Math.min(4, subject.rounds); round++) answers.push(await subject.http.stream(each))
    return answers
  })
  return (await Promise.all(ofEach)).flat()
}

/** Arrivals that know nothing of each other, whatever the answers take. */
async function openLoop(subject: Subject, perSecond: number): Promise<Streamed[]> {
  const random = randomSource(1, 'order', 0)
  const answers: Promise<Streamed>[] = []
  for (const asked of askedOf(subject, 8 * Math.min(6, subject.rounds))) {
    answers.push(subject.http.stream(asked))
    const pause = (-1000 * Math.log(1 - random.next())) / perSecond
    await new Promise((resolve) => setTimeout(resolve, pause))
  }
  return Promise.all(answers)
}
