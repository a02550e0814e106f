/** Attempts at jobs over a real queue, with a trainer that does what the test wants: time, files and numbers of jobs. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import t from 'tap'
import { exists } from '../../src/dylora/publish.ts'
import { writeSafetensors } from '../../src/dylora/safetensors.ts'
import { directoryStore } from '../../src/dylora/store/directory-store.ts'
import type { Claim } from '../../src/jobs/attempts.ts'
import { openEmbedded } from '../../src/jobs/database.ts'
import { JobSpec } from '../../src/jobs/job.ts'
import { JobQueue } from '../../src/jobs/job-queue.ts'
import { OwnerLease } from '../../src/jobs/owner-lease.ts'
import { adapterOf, inheritCheckpoint, jobPlaces, uploadPlaces } from '../../src/jobs/places.ts'
import { removeBrokenUploads, removeExpired } from '../../src/jobs/retention.ts'
import { type RunnerOptions, runJob } from '../../src/jobs/runner.ts'
import { checkpointPath, checkpointStep } from '../../src/training/checkpoint.ts'

const directory = await mkdtemp(join(tmpdir(), 'dylora-attempts-'))
const at = (...names: string[]) => join(directory, ...names)
// The queue's thread keeps no process alive.
const alive = setInterval(() => {}, 1000)
const database = await openEmbedded(at('queue'))
const queue = await JobQueue.open(database, { supervise: true, warn: (error) => t.error(error) })
t.teardown(async () => {
  await queue.close()
  await rm(directory, { recursive: true, force: true })
  clearInterval(alive)
})

const store = directoryStore(at('adapters'), { keptVersions: 0, pinned: [] })
const spec = (given: object = {}) => JobSpec.parse({ adapter: 'a', ...given })
let number = 0
const newId = () => `00000000-0000-4000-8000-${String(++number).padStart(12, '0')}`

/** As a worker has it that was given the job by the queue. */
async function begun(id: string): Promise<Claim> {
  const { rows } = await database.executeSql('SELECT queue_id FROM dylora.job WHERE id = $1', [id])
  const claim = await queue.attempts.claim(id, String(rows[0]?.queue_id), 'w')
  if (claim === null) throw new Error(`expected to get job ${id}`)
  return claim
}

async function submitted(given: object = {}): Promise<string> {
  const id = newId()
  await queue.submit(id, spec(given), 100)
  return id
}

const stories = async (id: string) => (await queue.events(id, 0)).map(({ type, data }) => ({ type, ...data }))

t.test('of many jobs that come at once no more are taken than may wait', async (t) => {
  const ids = Array.from({ length: 12 }, newId)
  const taken = await Promise.allSettled(ids.map((id) => queue.submit(id, spec(), 5)))
  const refused = taken.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []))
  t.equal(refused.length, 7)
  for (const error of refused) t.match(error, { code: 'overloaded', message: /expected fewer than 5/ })
  const { jobs } = await queue.list({ limit: 100 })
  t.equal(jobs.length, 5)
  for (const { id } of jobs) await queue.cancel(id)
  const [first, second] = jobs
  await queue.submit(newId(), spec(), 1)
  await t.rejects(queue.retry(first!.id, 1), { code: 'overloaded' })
  t.match(await queue.retry(second!.id, 2), { state: 'queued' })
  for (const { id, state } of (await queue.list({ limit: 100 })).jobs) if (state === 'queued') await queue.cancel(id)
})

t.test('the time limit is that of all attempts together', async (t) => {
  await mkdir(at('bases', 'tiny'), { recursive: true })
  const id = await submitted({ time_limit_seconds: 30 })
  await queue.attempts.beat(await begun(id), 29.5)
  const second = await begun(id)
  t.match(second, { attempt: 2, runSeconds: 29.5 })
  const options: RunnerOptions = {
    ...{ queue, jobsDirectory: at('jobs'), store, basesDirectory: at('bases') },
    ...{ defaultBase: undefined, environment: {}, device: 'cpu', deviceId: 0, threads: 1 },
    command: [process.execPath, '-e', 'setInterval(() => {}, 1000)'],
  }
  await runJob(second, new AbortController().signal, options)
  t.match(await queue.get(id), { state: 'failed', reason: 'it took more than 30 s in 2 attempts' })
  const again = await queue.retry(id, 100)
  t.match(again, { attempt: 0, startedAt: null }, 'who tries it again gives it its time again')
  t.equal((await begun(id)).runSeconds, 0)
})

t.test('what a trainer complains of is why the job failed, not where in its code', async (t) => {
  const id = await submitted()
  const complaint = 'console.error("odd"); throw new RangeError("expected a finite gradient")'
  await runJob(await begun(id), new AbortController().signal, {
    ...{ queue, jobsDirectory: at('jobs'), store, basesDirectory: at('bases') },
    ...{ defaultBase: undefined, environment: {}, device: 'cpu', deviceId: 0, threads: 1 },
    command: [process.execPath, '-e', complaint],
  })
  t.match(await queue.get(id), { state: 'failed', reason: 'expected a finite gradient' })
})

t.test('a worker that was stopped and goes on later changes nothing of the attempt that came after it', async (t) => {
  const id = await submitted()
  const places = jobPlaces(at('jobs'), id)
  const first = await begun(id)
  const save = async (claim: Claim, step: number) => {
    const path = checkpointPath(adapterOf(places, claim))
    await inheritCheckpoint(places, adapterOf(places, claim))
    const x = { name: 'x', shape: [1], data: new Float32Array(1) }
    await writeSafetensors(path, [x], { step: String(step) })
  }
  const stepOf = (claim: Claim) => checkpointStep(checkpointPath(adapterOf(places, claim)))
  await save(first, 50)
  const second = await begun(id)
  await inheritCheckpoint(places, adapterOf(places, second))
  t.equal(await stepOf(second), 50, 'it goes on from there')
  await save(first, 100)
  t.same([await stepOf(first), await stepOf(second)], [100, 50])
  await queue.attempts.tell(first, 'step', { step: 100 })
  await queue.attempts.tell(second, 'step', { step: 60 })
  t.same(
    (await stories(id)).filter(({ type }) => type === 'step'),
    [{ type: 'step', step: 60 }],
  )
  t.match(await queue.get(id), { progress: { step: { step: 60 } } })
  await queue.attempts.finish(first, 'failed', 'it is late')
  t.match(await queue.get(id), { state: 'running', reason: null })
  const third = await begun(id)
  await inheritCheckpoint(places, adapterOf(places, third))
  t.equal(await stepOf(third), 100, 'whichever got farthest is worth going on from')
})

t.test('files of ended jobs are kept for their time and number, those of others always', async (t) => {
  const fill = async (id: string) => {
    await mkdir(jobPlaces(at('jobs'), id).attempts, { recursive: true })
    await writeFile(jobPlaces(at('jobs'), id).train, '{}')
  }
  for (const { id } of (await queue.list({ limit: 100 })).jobs) await queue.cancel(id).catch(() => {})
  await removeExpired(queue, at('jobs'), { seconds: 0, jobs: 0 })
  const [old, young, running, waiting] = [await submitted(), await submitted(), await submitted(), await submitted()]
  for (const id of [old, young, running, waiting]) await fill(id)
  const attempt = await begun(old)
  await queue.attempts.tell(attempt, 'step', { step: 1 })
  await queue.attempts.finish(attempt, 'failed', 'it is a test')
  await queue.cancel(young)
  await begun(running)
  const remove = (seconds: number, jobs: number) => removeExpired(queue, at('jobs'), { seconds, jobs })
  t.same(await remove(3600, 2), [])
  t.match(await queue.get(old), { filesKept: true })
  t.same(await remove(3600, 1), [old], 'the one that ended first')
  t.same((await readdir(at('jobs'))).filter((name) => [old, young, running, waiting].includes(name)).sort(), [
    ...[young, running, waiting],
  ])
  t.match(await queue.get(old), { filesKept: false, state: 'failed', reason: 'it is a test' }, 'its record stays')
  t.same([...new Set((await stories(old)).map(({ type }) => type))], ['state'])
  await t.rejects(queue.retry(old, 100), { code: 'conflict', message: /no longer kept/ })
  await queue.retry(young, 100)
  t.same(await remove(0, 0), [], 'nothing of what runs or waits, also of what waits again')
  t.ok(await exists(jobPlaces(at('jobs'), young).train))
})

t.test('what a killed server was receiving is removed, once nobody can be receiving it', async (t) => {
  const { directory: broken, train } = uploadPlaces(at('jobs'), newId())
  await mkdir(broken, { recursive: true })
  await writeFile(train, '{')
  await removeBrokenUploads(at('jobs'), 3_600_000)
  t.ok(await exists(train), 'another server may be receiving it')
  const jobs = (await readdir(at('jobs'))).length
  await removeBrokenUploads(at('jobs'), 0)
  t.notOk(await exists(broken))
  t.equal((await readdir(at('jobs'))).length, jobs - 1, 'and nothing else')
})

t.test('a directory has one owner, whatever the process ids are', async (t) => {
  const times = { renewMs: 60, leaseMs: 600 }
  const take = (name: string) => OwnerLease.take(at(name), times)
  const first = await take('owner')
  t.equal(await first?.state(), 'held')
  t.equal(await take('owner'), null, 'it is alive')
  await first?.release()
  const second = await take('owner')
  t.equal(await second?.state(), 'held', 'it was given back')

  // Left by one that was killed: nobody raises its count.
  await writeFile(at('dead'), await readFile(at('owner')))
  const both = await Promise.all([take('dead'), take('dead')])
  t.equal(both.filter((lease) => lease !== null).length, 1, 'one of two that found it dead')

  await writeFile(at('owner'), '00000000-0000-4000-8000-00000000000f 000000000001\n')
  for (let i = 0; i < 50 && (await second?.state()) !== 'lost'; i++) await after(50)
  t.equal(await second?.state(), 'lost', 'another has taken it')
  for (const lease of both) await lease?.release()
  t.notOk(await exists(at('dead')))
})
