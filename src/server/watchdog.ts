/**
 * Ends a process that stands still, so that its supervisor starts it anew: a thread of its own expects a sign of life, which
 * comes only while the event loop turns and the model, if there is work, runs to its end.
 */
import { Worker } from 'node:worker_threads'
import type { Serving } from './serving.ts'

export interface WatchdogOptions {
  /** Without a sign of life for so long, the process ends. */
  readonly limitMs: number
}

/** In plain JavaScript and in one piece: it must not depend on anything that may hang. */
const guard = `
const { workerData: { life, limitMs } } = require('node:worker_threads')
const { writeSync } = require('node:fs')
for (;;) {
  const before = Atomics.load(life, 0)
  if (Atomics.wait(life, 0, before, limitMs) !== 'timed-out') {
    if (Atomics.load(life, 0) < 0) break
    continue
  }
  const line = { level: 60, time: Date.now(), pid: process.pid, limitMs, msg: 'no step within the limit: the process ends, to be started anew' }
  writeSync(2, JSON.stringify(line) + '\\n')
  process.kill(process.pid, 'SIGKILL')
}
`

/** Returns what ends the watch. */
export function startWatchdog(
  engine: { readonly stats: Pick<Serving['stats'], 'running' | 'waiting' | 'background' | 'runs'> },
  { limitMs }: WatchdogOptions,
): () => Promise<void> {
  const life = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(guard, { eval: true, workerData: { life, limitMs } })
  worker.unref()
  let seen = -1
  const timer = setInterval(() => {
    const { running, waiting, background, runs } = engine.stats
    if (running + waiting + background > 0 && runs === seen) return
    seen = runs
    Atomics.add(life, 0, 1)
    Atomics.notify(life, 0)
  }, limitMs / 10)
  timer.unref()
  return async () => {
    clearInterval(timer)
    Atomics.store(life, 0, -1)
    Atomics.notify(life, 0)
    await worker.terminate()
  }
}
