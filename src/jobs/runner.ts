/** One attempt at a job: training in a process of its own, measuring, the gate, and publication. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import type { Adapter } from '../dylora/adapter.ts'
import { readAdapter } from '../dylora/adapter-directory.ts'
import { exists } from '../dylora/publish.ts'
import type { AdapterStore } from '../dylora/store/adapter-store.ts'
import type { Claim, Work } from './attempts.ts'
import { type Bases, findBase } from './bases.ts'
import { gateRefusal } from './gate.ts'
import { settingFlags } from './job.ts'
import type { JobQueue } from './job-queue.ts'
import { adapterOf, finishedAdapter, inheritCheckpoint, jobPlaces } from './places.ts'

export interface RunnerOptions extends Bases {
  readonly queue: JobQueue
  /** The same directory for the server and for every worker. */
  readonly jobsDirectory: string
  readonly store: AdapterStore
  /** What runs `dylora`: a program and its first arguments. */
  readonly command: readonly [string, ...string[]]
  /** Of the training process. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** What the training is told of the machine. */
  readonly device: 'auto' | 'cpu' | 'cuda'
  readonly deviceId: number
  readonly threads: number | undefined
}

const beatEveryMs = 1000

/** The time of a job, over all its attempts. */
class Clock {
  readonly #before: number
  readonly #began = performance.now()

  constructor(before: number) {
    this.#before = before
  }

  get seconds(): number {
    return this.#before + (performance.now() - this.#began) / 1000
  }
}

/** Ends the job in one of its states; throws only what is a bug or a lost queue, after which another attempt is made. */
export async function runJob(claim: Claim, signal: AbortSignal, options: RunnerOptions): Promise<void> {
  const { attempts } = options.queue
  const clock = new Clock(claim.runSeconds)
  const stop = new AbortController()
  // Cancelled, or taken over by another attempt while this worker was thought dead.
  const beat = async () => {
    const current = await attempts.beat(claim, clock.seconds).catch(() => true)
    if (!current) stop.abort()
  }
  const beats = setInterval(beat, beatEveryMs)
  const left = Math.max(0, claim.spec.time_limit_seconds - claim.runSeconds)
  const limit = setTimeout(() => stop.abort('time'), left * 1000)
  signal.addEventListener('abort', () => stop.abort())
  try {
    const trained = await train(claim, stop.signal, options)
    await beat()
    if (stop.signal.reason === 'time') await attempts.finish(claim, 'failed', outOfTime(claim))
    else if (stop.signal.aborted) return
    else if ('failure' in trained) await attempts.finish(claim, 'failed', trained.failure)
    else await publish(claim, trained.adapter, options)
  } finally {
    clearInterval(beats)
    clearTimeout(limit)
  }
}

const outOfTime = ({ spec, attempt }: Claim): string =>
  `it took more than ${spec.time_limit_seconds} s${attempt > 1 ? ` in ${attempt} attempts` : ''}`

type Trained = { readonly adapter: string } | { readonly failure: string }

/** The directory of an adapter, or why there is none. An attempt that was cut short goes on from the last checkpoint. */
async function train(claim: Claim, signal: AbortSignal, options: RunnerOptions): Promise<Trained> {
  const places = jobPlaces(options.jobsDirectory, claim.id)
  // Left by an attempt that died while it published.
  const finished = await finishedAdapter(places)
  if (finished !== null) return { adapter: finished }
  const base = await findBase(claim.spec.base, options)
  if (base === null) return { failure: `this worker has no base model '${claim.spec.base ?? ''}'` }
  const adapter = adapterOf(places, claim)
  await inheritCheckpoint(places, adapter)
  const [program, ...first] = options.command
  const child = spawn(program, [...first, 'train', ...(await trainFlags(claim, base, adapter, options))], {
    env: { ...options.environment },
    // With a channel, the training ends when this worker does.
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  const kill = () => child.kill('SIGKILL')
  signal.addEventListener('abort', kill)
  if (signal.aborted) kill()
  try {
    const [complaint, [code]] = await Promise.all([listen(claim, child, options.queue), once(child, 'exit')])
    return code === 0 ? { adapter } : { failure: complaint || `the training ended with status ${code}` }
  } finally {
    signal.removeEventListener('abort', kill)
    child.kill('SIGKILL')
  }
}

async function trainFlags(
  { id, spec }: Claim,
  base: string,
  adapter: string,
  { jobsDirectory, device, deviceId, threads }: RunnerOptions,
): Promise<string[]> {
  const places = jobPlaces(jobsDirectory, id)
  const held = (await exists(places.validation))
    ? [
        '--validation',
        places.validation,
        '--evaluate',
        places.validation,
        '--metrics',
        spec.metrics.join(','),
        '--validate-every',
        '100',
      ]
    : []
  return [
    ...['--base', base, '--data', places.train, '--out', adapter, ...held],
    ...['--resume', '--checkpoint-every', '50', '--log-every', '10'],
    ...['--device', device, '--device-id', String(deviceId)],
    ...(threads === undefined ? [] : ['--threads', String(threads)]),
    ...settingFlags(spec),
  ]
}

/** Records what the training tells; gives the line that says why it ended, else the last. */
async function listen(claim: Claim, child: ChildProcess, queue: JobQueue): Promise<string> {
  let complaint = ''
  let last: Work = { steps: 0, tokens: 0, seconds: 0 }
  const complaints = (async () => {
    if (child.stderr === null) return
    for await (const line of createInterface({ input: child.stderr }))
      if (!isTrace(line) && !isMessage(complaint)) complaint = line.slice(0, 1000)
  })()
  if (child.stdout !== null) {
    for await (const line of createInterface({ input: child.stdout })) {
      const told = eventOf(line)
      if (told === null) continue
      const work = told.type === 'step' ? worked(told.data) : null
      await queue.attempts.tell(claim, told.type, told.data, work === null ? undefined : difference(work, last))
      last = work ?? last
    }
  }
  await complaints
  return complaint.replace(/^(dylora|RangeError|Error): /, '')
}

/** Of a stack, or nothing at all. */
const isTrace = (line: string): boolean => /^\s*(at |$|[{}\]])/.test(line)
const isMessage = (line: string): boolean => /^(dylora|\w*Error): /.test(line)

/** All that a training did since it was started. */
function worked({ since_start: sinceStart }: Readonly<Record<string, unknown>>): Work | null {
  const { steps, tokens, seconds } = (sinceStart ?? {}) as Partial<Record<keyof Work, unknown>>
  const known = [steps, tokens, seconds].every((value) => typeof value === 'number')
  return known ? { steps: Number(steps), tokens: Number(tokens), seconds: Number(seconds) } : null
}

const difference = (now: Work, before: Work): Work => ({
  steps: now.steps - before.steps,
  tokens: now.tokens - before.tokens,
  seconds: now.seconds - before.seconds,
})

/** A line of JSON with an `event`; anything else is not for clients. */
function eventOf(line: string): { type: string; data: Record<string, unknown> } | null {
  try {
    const { event, file: _file, adapter: _adapter, ...data } = JSON.parse(line) as Record<string, unknown>
    return typeof event === 'string' ? { type: event, data } : null
  } catch {
    return null
  }
}

async function publish(claim: Claim, trained: string, { queue, jobsDirectory, store }: RunnerOptions): Promise<void> {
  const { attempts } = queue
  const adapter = await readAdapter(trained)
  const refusal = gateRefusal(claim.spec.gate, adapter, await current(store, claim.spec.adapter))
  if (refusal !== null) return attempts.finish(claim, 'refused', refusal)
  // The attempt of a worker that was only thought dead ends here.
  if (!(await attempts.beginPublishing(claim))) return
  try {
    await store.publish(claim.spec.adapter, trained)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return attempts.finish(claim, 'failed', `it could not be published: ${reason}`)
  }
  await attempts.finish(claim, 'succeeded', null, adapter.digest)
  // What is published needs no second copy; where it cannot be removed now, retention does it later.
  await rm(jobPlaces(jobsDirectory, claim.id).attempts, { recursive: true, force: true }).catch(() => {})
}

/** What would be replaced; null where there is nothing that serves. */
async function current(store: AdapterStore, name: string): Promise<Adapter | null> {
  if ((await store.stateOf(name)) === null) return null
  const directory = await store.fetch(name)
  return readAdapter(directory).catch(() => null)
}
