/** `dylora worker`: takes training jobs from the queue and runs each in a process of its own. */
import { hostname } from 'node:os'
import { parseArgs } from 'node:util'
import { pino } from 'pino'
import { loadConfig } from '../config.ts'
import { errors } from '../errors.ts'
import { parentDatabase } from '../jobs/channel.ts'
import { openPostgres } from '../jobs/database.ts'
import { JobQueue } from '../jobs/job-queue.ts'
import { runJob } from '../jobs/runner.ts'
import { adapterStore } from './adapter-store.ts'
import { withBaseHere } from './hub.ts'
import { jobBases } from './job-bases.ts'

const usage = `Usage: DATABASE_URL=postgres://... dylora worker

Any number of workers, on any machines that share JOBS_DIR and ADAPTERS_DIR, take jobs from one queue. Without DATABASE_URL
the server starts its own workers. DEVICE is what trains (auto, cpu, cuda) and DEVICE_ID the worker's GPU: one worker for
each. WORKER_CONCURRENCY jobs run at once. A worker that is killed loses nothing: its job is taken up again from the last checkpoint.`

/** How this very program is run, from source or built. */
export function ownCommand(): [string, ...string[]] {
  const [, script = ''] = process.argv
  return [process.execPath, ...process.execArgv, script]
}

export async function run(args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options: { help: { type: 'boolean' } } })
  if (values.help) {
    console.log(usage)
    return 0
  }
  const settings = loadConfig(process.env)
  const log = pino({ level: settings.LOG_LEVEL })
  if (settings.DATABASE_URL === undefined && process.send === undefined) {
    throw errors.configurationInvalid([
      'DATABASE_URL: expected the address of the queue; without one the server starts its own workers',
    ])
  }
  const config = await withBaseHere(settings, (line) => log.info(line))
  const store = await adapterStore(config)
  const database = config.DATABASE_URL === undefined ? parentDatabase() : openPostgres(config.DATABASE_URL)
  const queue = await opened(() =>
    JobQueue.open(database, {
      supervise: config.DATABASE_URL !== undefined,
      warn: (error) => log.warn({ err: error }, 'queue'),
    }),
  )
  const ended = new Promise<void>((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM', 'disconnect'] as const) process.once(name, () => resolve())
  })
  const worker = `${hostname()}-${process.pid}`
  await queue.work(worker, config.WORKER_CONCURRENCY, (claim, signal) => {
    log.info({ job: claim.id, attempt: claim.attempt, adapter: claim.spec.adapter }, 'job begun')
    return runJob(claim, signal, {
      queue,
      jobsDirectory: config.JOBS_DIR,
      store,
      ...jobBases(config),
      command: ownCommand(),
      environment: process.env,
      device: config.DEVICE,
      deviceId: config.DEVICE_ID,
      threads: config.WORKER_THREADS,
    })
  })
  log.info({ worker, device: config.DEVICE, device_id: config.DEVICE_ID }, 'waiting for jobs')
  await ended
  // What runs is cut short and taken up by another worker: nothing is lost, and nothing to wait for.
  await queue.close().catch(() => {})
  process.exit(0)
}

/** The database may come up later than its workers. */
async function opened(open: () => Promise<JobQueue>): Promise<JobQueue> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await open()
    } catch (error) {
      if (attempt === 10) throw errors.configurationInvalid([`DATABASE_URL: ${(error as Error).message}`])
      await new Promise((resolve) => setTimeout(resolve, 1000))
    }
  }
}
