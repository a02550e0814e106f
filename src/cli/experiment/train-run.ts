/** One training of an experiment: a child process whose progress goes to a log, resumed from its checkpoint when it was killed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { readJsonFile } from '../../dylora/json-file.ts'
import { exists } from '../../dylora/publish.ts'
import { errors } from '../../errors.ts'
import { settingArguments } from '../train-options.ts'
import { type Digests, sameTraining, trainingFingerprint } from './fingerprint.ts'
import type { Run } from './plan.ts'
import { Cost, publishJson } from './results.ts'

/** `cost` is null until the training is over. */
const RunFile = z.strictObject({ fingerprint: z.string(), cost: Cost.nullable() })

export interface TrainContext {
  readonly directory: string
  readonly base: string
  readonly data: string
  /** What must be the same for a finished training to be kept, beside its settings. */
  readonly digests: Digests
  readonly signal: AbortSignal
}

export const modelDirectory = (context: TrainContext, { id }: Run): string => join(context.directory, id, 'model')

/** The cost of a finished training with the same fingerprint; null where there is none. */
export async function finishedTraining(context: TrainContext, run: Run): Promise<Cost | null> {
  const file = await readRunFile(context, run)
  const wanted = trainingFingerprint(run.settings, context.digests)
  return file !== null && sameTraining(file.fingerprint, wanted) ? file.cost : null
}

async function readRunFile({ directory }: TrainContext, { id }: Run): Promise<z.infer<typeof RunFile> | null> {
  const path = join(directory, id, 'run.json')
  return (await exists(path)) ? readJsonFile(path, RunFile, (reason) => errors.checkpointInvalid(path, reason)) : null
}

/** Trains, or goes on. What lies there of a training with other settings or data is removed first. */
export async function trainRun(context: TrainContext, run: Run): Promise<Cost> {
  const place = join(context.directory, run.id)
  const file = join(place, 'run.json')
  const fingerprint = trainingFingerprint(run.settings, context.digests)
  const found = await readRunFile(context, run)
  if (found === null || found.fingerprint !== fingerprint) await rm(place, { recursive: true, force: true })
  await mkdir(place, { recursive: true })
  await publishJson(file, { fingerprint, cost: null })
  const log = join(place, 'train.log')
  await runChild(context, run, log)
  const cost = costOf(await readFile(log, 'utf8'))
  await publishJson(file, { fingerprint, cost })
  return cost
}

/** A child that something killed is started again, so many times. */
const attempts = 5

async function runChild(context: TrainContext, run: Run, log: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const { code, killedBy } = await childEnd(context, run, log)
    if (code === 0) return
    if (context.signal.aborted) throw errors.cancelled('its training was stopped; the same command goes on from there')
    if (killedBy === null || attempt === attempts) {
      const lastWords = (await readFile(log, 'utf8')).trimEnd().split('\n').at(-1)
      throw errors.cancelled(`its training failed (${killedBy ?? `exit code ${code}`}; see ${log}): ${lastWords}`)
    }
  }
}

const main = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? '../main.ts' : '../main.js', import.meta.url))

interface ChildEnd {
  readonly code: number | null
  readonly killedBy: NodeJS.Signals | null
}

/** Steps between two lines of the log, and two checkpoints. */
const [logEvery, checkpointEvery] = [10, 50]

async function childEnd(context: TrainContext, run: Run, log: string): Promise<ChildEnd> {
  const handle = await open(log, 'a')
  const args = [
    ...['train', '--base', context.base, '--data', context.data, '--out', modelDirectory(context, run)],
    ...['--resume', '--threads', '1', '--log-every', String(logEvery), '--checkpoint-every', String(checkpointEvery)],
    ...settingArguments(run.settings),
  ]
  // The channel tells the child when this process is gone, however it went; the log needs nobody to read it.
  const child = spawn(process.execPath, [...process.execArgv, main, ...args], {
    stdio: ['ignore', handle.fd, handle.fd, 'ipc'],
  })
  const stop = () => child.kill('SIGTERM')
  context.signal.addEventListener('abort', stop)
  try {
    return await ended(child)
  } finally {
    context.signal.removeEventListener('abort', stop)
    await handle.close()
  }
}

const ended = (child: ChildProcess): Promise<ChildEnd> =>
  new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, killedBy) => resolve({ code, killedBy }))
  })

const StepLine = z.object({
  event: z.literal('step'),
  steps: z.int(),
  since_start: z.object({
    steps: z.int(),
    tokens: z.number(),
    flops: z.number(),
    seconds: z.number(),
    processor_seconds: z.number(),
  }),
})
type SinceStart = z.infer<typeof StepLine>['since_start']

/** From the log of a training, which one or more processes wrote: what they took for a step, times the steps. */
export function costOf(log: string): Cost {
  let steps = 0
  const last: SinceStart[] = []
  for (const line of log.split('\n')) {
    if (line.startsWith('{"event":"training"')) last.push(none)
    const parsed = line.startsWith('{"event":"step"') ? StepLine.parse(JSON.parse(line)) : null
    if (parsed === null) continue
    steps = parsed.steps
    last[Math.max(0, last.length - 1)] = parsed.since_start
  }
  const sum = (name: keyof SinceStart) => last.reduce((total, since) => total + since[name], 0)
  if (steps === 0) throw new RangeError('expected the log of a training, got no step')
  const repeated = sum('steps') / steps
  return {
    steps,
    tokens: Math.round(sum('tokens') / repeated),
    flops: sum('flops') / repeated,
    seconds: sum('seconds') / repeated,
    processorSeconds: sum('processor_seconds') / repeated,
  }
}

const none: SinceStart = { steps: 0, tokens: 0, flops: 0, seconds: 0, processor_seconds: 0 }
