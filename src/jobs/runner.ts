/** One attempt at a job: training in a process of its own, measuring, the gate, and publication. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Adapter } from '../dylora/adapter.ts'
import { adapterFiles, readAdapter } from '../dylora/adapter-directory.ts'
import { exists } from '../dylora/publish.ts'
import type { AdapterStore } from '../dylora/store/adapter-store.ts'
import { gateRefusal } from './gate.ts'
import { type JobSpec, settingFlags } from './job.ts'
import type { Claim, JobQueue } from './job-queue.ts'

export interface RunnerOptions {
  readonly queue: JobQueue
  /** The same directory for the server and for every worker. */
  readonly jobsDirectory: string
  readonly store: AdapterStore
  readonly basesDirectory: string
  /** The base of a job that names none; undefined is the only one that there is. */
  readonly defaultBase: string | undefined
  /** What runs `dylora`: a program and its first arguments. */
  readonly command: readonly [string, ...string[]]
  /** Of the training process. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** What the training is told of the machine. */
  readonly device: 'auto' | 'cpu' | 'cuda'
  readonly deviceId: number
  readonly threads: number | undefined
}

/** Where the files of a job are. */
export const jobPlaces = (jobsDirectory: string, id: string) => {
  const directory = join(jobsDirectory, id)
  return {
    directory,
    train: join(directory, 'train.jsonl'),
    validation: join(directory, 'validation.jsonl'),
    /** The finished adapter before it is published. */
    staged: join(directory, 'adapter'),
  }
}

const checkEveryMs = 1000

/** Ends the job in one of its states; throws only what is a bug or a lost queue, after which another attempt is made. */
export async function runJob(claim: Claim, signal: AbortSignal, options: RunnerOptions): Promise<void> {
  const { queue } = options
  const stop = new AbortController()
  // Cancelled, or taken over by another attempt while this worker was thought dead.
  const watch = setInterval(async () => {
    const current = await queue.isCurrent(claim).catch(() => true)
    if (!current) stop.abort()
  }, checkEveryMs)
  const limit = setTimeout(() => stop.abort('time'), claim.spec.time_limit_seconds * 1000)
  signal.addEventListener('abort', () => stop.abort())
  try {
    const failure = await train(claim, stop.signal, options)
    if (stop.signal.reason === 'time')
      await queue.finish(claim, 'failed', `it took more than ${claim.spec.time_limit_seconds} s`)
    else if (stop.signal.aborted) return
    else if (failure !== null) await queue.finish(claim, 'failed', failure)
    else await publish(claim, options)
  } finally {
    clearInterval(watch)
    clearTimeout(limit)
  }
}

/** Null when there is an adapter, else why not. An attempt that was cut short goes on from the last checkpoint. */
async function train(claim: Claim, signal: AbortSignal, options: RunnerOptions): Promise<string | null> {
  const { staged } = jobPlaces(options.jobsDirectory, claim.id)
  // Left by an attempt that died while it published.
  if (await exists(join(staged, adapterFiles.dylora))) return null
  const base = await baseDirectory(claim.spec, options)
  if (base === null) return `this worker has no base model '${claim.spec.base ?? ''}'`
  const [program, ...first] = options.command
  const child = spawn(program, [...first, 'train', ...(await trainFlags(claim, base, options))], {
    env: { ...options.environment },
    // With a channel, the training ends when this worker does.
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  const kill = () => child.kill('SIGKILL')
  signal.addEventListener('abort', kill)
  try {
    const [complaint, [code]] = await Promise.all([listen(claim, child, options.queue), once(child, 'exit')])
    return code === 0 ? null : complaint || `the training ended with status ${code}`
  } finally {
    signal.removeEventListener('abort', kill)
    child.kill('SIGKILL')
  }
}

async function trainFlags(
  { id, spec }: Claim,
  base: string,
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
    ...['--base', base, '--data', places.train, '--out', places.staged, ...held],
    ...['--resume', '--checkpoint-every', '50', '--log-every', '10'],
    ...['--device', device, '--device-id', String(deviceId)],
    ...(threads === undefined ? [] : ['--threads', String(threads)]),
    ...settingFlags(spec),
  ]
}

async function baseDirectory(
  { base }: JobSpec,
  { basesDirectory, defaultBase }: RunnerOptions,
): Promise<string | null> {
  const names = (await readdir(basesDirectory).catch(() => [])).filter((name) => !name.startsWith('.'))
  const [only, ...others] = names
  const name = base ?? defaultBase ?? (others.length === 0 ? only : undefined)
  return name !== undefined && names.includes(name) ? join(basesDirectory, name) : null
}

/** Records what the training tells; gives the last line that it complained with. */
async function listen(claim: Claim, child: ChildProcess, queue: JobQueue): Promise<string> {
  let complaint = ''
  const complaints = (async () => {
    if (child.stderr === null) return
    for await (const line of createInterface({ input: child.stderr }))
      if (line.trim() !== '') complaint = line.slice(0, 1000)
  })()
  if (child.stdout !== null) {
    for await (const line of createInterface({ input: child.stdout })) {
      const told = eventOf(line)
      if (told !== null) await queue.tell(claim.id, told.type, told.data)
    }
  }
  await complaints
  return complaint.replace(/^dylora: /, '')
}

/** A line of JSON with an `event`; anything else is not for clients. */
function eventOf(line: string): { type: string; data: Record<string, unknown> } | null {
  try {
    const { event, file: _file, adapter: _adapter, ...data } = JSON.parse(line) as Record<string, unknown>
    return typeof event === 'string' ? { type: event, data } : null
  } catch {
    return null
  }
}

async function publish(claim: Claim, { queue, jobsDirectory, store }: RunnerOptions): Promise<void> {
  const { staged } = jobPlaces(jobsDirectory, claim.id)
  const adapter = await readAdapter(staged)
  const refusal = gateRefusal(claim.spec.gate, adapter, await current(store, claim.spec.adapter))
  if (refusal !== null) return queue.finish(claim, 'refused', refusal)
  // The attempt of a worker that was only thought dead ends here.
  if (!(await queue.beginPublishing(claim))) return
  await store.publish(claim.spec.adapter, staged)
  await queue.finish(claim, 'succeeded', null, adapter.digest)
}

/** What would be replaced; null where there is nothing that serves. */
async function current(store: AdapterStore, name: string): Promise<Adapter | null> {
  if ((await store.stateOf(name)) === null) return null
  const directory = await store.fetch(name)
  return readAdapter(directory).catch(() => null)
}
