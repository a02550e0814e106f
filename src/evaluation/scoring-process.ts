/**
 * Scoring in a process of its own, of lower priority: metrics and their intervals take longer than an event loop that serves
 * may stand still.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { constants, setPriority } from 'node:os'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { errors } from '../errors.ts'
import type { MetricName } from './metrics.ts'

export interface ScoringTask {
  /** Each system's outputs, one for each group of references. */
  readonly outputs: readonly (readonly string[])[]
  readonly references: readonly (readonly string[])[]
  readonly metrics: readonly MetricName[]
  /** Of the bootstrap. */
  readonly seed: number
}

export interface TextScore {
  readonly metric: MetricName
  /** Not a number where the metric has no value for these texts. */
  readonly value: number
  /** 95 %, over the instances; null where it has none. */
  readonly ci95: readonly [number, number] | null
  readonly n: number
  readonly higherIsBetter: boolean
}

/** Beside this file, whether that is the source or what was built of it. */
const workerFile = fileURLToPath(new URL(`./scoring-worker${extname(import.meta.url)}`, import.meta.url))

/** The scores, [system][metric]. Throws `cancelled` when the signal aborts, and then the process is gone. */
export async function scoreInProcess(task: ScoringTask, signal: AbortSignal): Promise<TextScore[][]> {
  if (signal.aborted) throw errors.cancelled('Scoring was given up')
  const child = fork(workerFile, [], { serialization: 'advanced', stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const stop = () => child.kill('SIGKILL')
  signal.addEventListener('abort', stop)
  try {
    return await answerOf(child, task)
  } catch (error) {
    throw signal.aborted ? errors.cancelled('Scoring was given up') : error
  } finally {
    signal.removeEventListener('abort', stop)
    stop()
  }
}

function answerOf(child: ChildProcess, task: ScoringTask): Promise<TextScore[][]> {
  return new Promise((resolve, reject) => {
    child.once('message', (scores) => resolve(scores as TextScore[][]))
    child.once('error', reject)
    child.once('exit', (code, signal) => reject(new Error(`expected scores, got ${signal ?? `exit code ${code}`}`)))
    if (child.pid !== undefined) yieldTo(child.pid)
    child.send({ ...task }, (error) => error && reject(error))
  })
}

/** Live requests come first on the processor too; where that cannot be said, it is as well without. */
function yieldTo(pid: number): void {
  try {
    setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL)
  } catch {
    // A process that has gone, or a system that does not allow it.
  }
}
