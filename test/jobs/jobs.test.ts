/** Training as a service, with real processes: what is taken is done once, whoever dies on the way. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import t from 'tap'
import { readAdapter } from '../../src/dylora/adapter-directory.ts'
import { importCheckpoint } from '../../src/dylora/import.ts'
import type { Claim } from '../../src/jobs/attempts.ts'
import { openEmbedded } from '../../src/jobs/database.ts'
import { gateRefusal } from '../../src/jobs/gate.ts'
import { JobSpec, settingFlags } from '../../src/jobs/job.ts'
import { JobQueue } from '../../src/jobs/job-queue.ts'
import { quality } from '../fixtures/app.ts'
import { fixturePath } from '../fixtures/golden.ts'
import { listening, startProcess } from '../fixtures/serve-process.ts'

interface Job {
  readonly id: string
  readonly state: string
  readonly reason: string | null
  readonly attempt: number
  readonly worker: string | null
  readonly adapter_digest: string | null
}

const lines = (n: number): string =>
  Array.from({ length: n }, (_, i) =>
    JSON.stringify({ context: `name : ${i % 7}`, completion: ` ${i % 7} is a pub .` }),
  ).join('\n')

/** A server over the tiny model, and how to ask it. */
async function service(t: { teardown(after: () => Promise<void>): void }) {
  const directory = await mkdtemp(join(tmpdir(), 'dylora-jobs-'))
  const at = (...names: string[]) => join(directory, ...names)
  await importCheckpoint(fixturePath('gpt2'), at('bases', 'tiny'))
  const environment = {
    ...{
      BASE_MODEL: at('bases', 'tiny'),
      ADAPTERS_DIR: at('adapters'),
      JOBS_DIR: at('jobs'),
      DATASETS_DIR: at('data'),
    },
    ...{ WORKER_THREADS: '1', INTRA_OP_THREADS: '1', JOB_DATA_LIMIT: '100000', JOB_DEVICE_IDS: '3' },
  }
  const start = () => startProcess('serve', environment, listening)
  let server = await start()
  t.teardown(async () => {
    await server.kill('SIGTERM')
    await rm(directory, { recursive: true, force: true })
  })
  const ask = async (path: string, init: RequestInit = {}) => {
    const reply = await fetch(`${server.url}${path}`, init)
    return {
      status: reply.status,
      body: (await reply.json()) as Job & { jobs: Job[]; next_cursor: string | null; detail: string },
    }
  }
  const submit = (spec: object, data = lines(40), validation = lines(6)) => {
    const form = new FormData()
    form.append('job', JSON.stringify(spec))
    form.append('data', new Blob([data]), 'data.jsonl')
    if (validation !== '') form.append('validation', new Blob([validation]), 'validation.jsonl')
    return ask('/jobs', { method: 'POST', body: form })
  }
  const until = async (id: string, wanted: (job: Job) => boolean): Promise<Job> => {
    for (let i = 0; i < 600; i++) {
      const { body } = await ask(`/jobs/${id}`)
      if (wanted(body)) return body
      await after(100)
    }
    throw new Error(`job ${id} did not come to it: ${server.log()}`)
  }
  const restart = async (signal: NodeJS.Signals) => {
    await server.kill(signal)
    server = await start()
  }
  return { at, ask, submit, until, restart, url: () => server.url, log: () => server.log() }
}

/** Until a job tells this. */
async function hear(url: string, id: string, wanted: RegExp): Promise<void> {
  const { body } = await fetch(`${url}/jobs/${id}/events`)
  if (body === null) throw new Error('expected events')
  let text = ''
  for await (const piece of body.pipeThrough(new TextDecoderStream())) {
    text += piece
    if (wanted.test(text)) return
  }
  throw new Error(`job ${id} ended without it: ${text}`)
}

const isOver = ({ state }: Job) => ['succeeded', 'failed', 'refused', 'cancelled'].includes(state)
// Real trainings, and ten seconds of silence until a worker is taken for dead.
t.setTimeout(180_000)

const quick = { max_rank: 2, steps: 8, batch_size: 4, target_modules: ['q_proj'] }
const slow = { ...quick, steps: 100_000 }

t.test('jobs are trained, measured, published and served; refused, cancelled and tried again', async (t) => {
  const { at, ask, submit, until, restart, url, log } = await service(t)
  t.same((await ask('/jobs')).body, { jobs: [], next_cursor: null }, 'no queue is opened to be looked at')

  const { status, body: job } = await submit({ adapter: 'mine', settings: quick, metrics: ['bleu', 'rouge_l'] })
  t.equal(status, 201)
  const done = await until(job.id, isOver)
  t.match(done, { state: 'succeeded', attempt: 1, adapter_digest: /^sha256:/ })
  const adapter = await readAdapter(at('adapters', 'mine'))
  t.equal(adapter.digest, done.adapter_digest)
  t.same([...new Set(adapter.quality.map(({ rank }) => rank))].sort(), [0, 1, 2], 'every rank was measured')
  for (let i = 0; i < 100 && (await ask('/adapters/mine')).status !== 200; i++) await after(100)
  t.equal((await ask('/adapters/mine')).status, 200, 'it serves without a restart')

  const told = await (await fetch(`${url()}/jobs/${job.id}/events`)).text()
  const ids = [...told.matchAll(/^id:(\d+)$/gm)].map(([, id]) => Number(id))
  t.ok(ids.length > 5)
  t.same(
    ids,
    ids.toSorted((a, b) => a - b),
  )
  t.match(told, /event:device\ndata:.*"device_id":3/, 'the device of its worker')
  t.match(told, /event:state\ndata:\{"state":"queued".*\n[\s\S]*event:validation[\s\S]*"state":"succeeded"/)
  const rest = await (
    await fetch(`${url()}/jobs/${job.id}/events`, { headers: { 'last-event-id': String(ids.at(-2)) } })
  ).text()
  t.same(
    [...rest.matchAll(/^id:(\d+)$/gm)].map(([, id]) => Number(id)),
    ids.slice(-1),
    'it goes on where a client left',
  )

  const refused = await submit({ adapter: 'mine', settings: quick, gate: { min_quality: 99 } })
  t.match(await until(refused.body.id, isOver), {
    state: 'refused',
    reason: /^min_quality: expected bleu of 99 at rank 2, got [\d.e-]+$/,
  })
  t.equal((await readAdapter(at('adapters', 'mine'))).digest, adapter.digest, 'what served goes on serving')

  const long = await submit({ adapter: 'long', settings: slow })
  await until(long.body.id, ({ state }) => state === 'running')
  const waiting = await submit({ adapter: 'next', settings: quick })
  t.equal((await ask(`/jobs/${waiting.body.id}`)).body.state, 'queued')
  t.match((await ask(`/jobs/${waiting.body.id}`, { method: 'DELETE' })).body, { state: 'cancelled' })
  await after(2000)
  t.match((await ask(`/jobs/${long.body.id}`, { method: 'DELETE' })).body, { state: 'cancelled' })
  t.equal((await ask(`/jobs/${long.body.id}`, { method: 'DELETE' })).status, 409)
  t.same(await readdir(at('adapters')), ['mine'], 'nothing half-published')
  const again = await ask(`/jobs/${waiting.body.id}/retry`, { method: 'POST' })
  t.match(again, { status: 200, body: { state: 'queued' } })
  t.match(await until(waiting.body.id, isOver), { state: 'succeeded' }, 'its worker was free within seconds')

  // Known once it is trained, and no sooner.
  const failing = await submit({ adapter: 'bad', settings: { ...quick, learning_rate: 1e30, clip: 0 } })
  t.match(await until(failing.body.id, isOver), { state: 'failed', reason: /expected a finite gradient/ })

  const page = await ask('/jobs?limit=2')
  t.equal(page.body.jobs.length, 2)
  const second = await ask(`/jobs?limit=100&cursor=${page.body.next_cursor}`)
  t.same([...page.body.jobs, ...second.body.jobs].length, 5)
  t.same(
    (await ask('/jobs?state=cancelled')).body.jobs.map(({ id }) => id),
    [long.body.id],
  )

  // A worker that is killed.
  const survivor = await submit({ adapter: 'survivor', settings: { ...quick, steps: 3000 } })
  // Far enough for a checkpoint, which is written every 50 steps.
  await hear(url(), survivor.body.id, /"step":(60|70|80)/)
  const { body: first } = await ask(`/jobs/${survivor.body.id}`)
  process.kill(Number(first.worker?.split('-').at(-1)), 'SIGKILL')
  const second2 = await until(survivor.body.id, ({ attempt }) => attempt === 2)
  t.not(second2.worker, first.worker)
  // And then the server, in the middle of the second attempt.
  await restart('SIGKILL')
  const end = await until(survivor.body.id, isOver)
  t.match(end, { state: 'succeeded', attempt: 3 })
  const story = await (await fetch(`${url()}/jobs/${survivor.body.id}/events`)).text()
  t.match(story, /event:resumed/, 'from its checkpoint')
  t.equal([...story.matchAll(/"state":"succeeded"/g)].length, 1, 'once')
  t.equal((await readAdapter(at('adapters', 'survivor'))).digest, end.adapter_digest)
  t.notMatch(log(), /"level":60/)
})

t.test('what cannot be trained is refused before it waits', async (t) => {
  const { ask, submit, at } = await service(t)
  const spec = { adapter: 'mine', settings: quick }
  for (const [reply, detail] of [
    [await submit({ ...spec, adapter: '../x' }), /#\/adapter: expected letters/],
    [await submit({ ...spec, settings: { max_rank: 0 } }), /#\/settings\/max_rank/],
    [await submit({ ...spec, settings: { rank: 4 } }), /#\/settings\/rank: unknown key/],
    [await submit({ ...spec, settings: { method: 'full' } }), /#\/settings\/method/],
    [await submit({ ...spec, dataset: 'e2e' }), /a dataset and an upload/],
    [await submit(spec, `${lines(2)}\n{"context": 1}`), /File 'data' is not usable: line 3/],
    [await submit(spec, lines(2), '{'), /File 'validation' is not usable: line 1/],
    [await submit(spec, ''), /expected at least one example/],
    [await submit({ ...spec, base: 'large' }), /#\/base: expected one of tiny, got 'large'/],
    [await submit({ ...spec, base: '../tiny' }), /#\/base: expected one of tiny, got '\.\.\/tiny'/],
    [await submit({ ...spec, adapter: 'tiny' }), /#\/adapter: expected another name than that of the base model/],
    [
      await submit({ ...spec, settings: { max_length: 1000, max_rank: 512 } }),
      /#\/settings\/max_length: expected at most \d+, got 1000; #\/settings\/max_rank: expected at most \d+, .*got 512/,
    ],
    [await submit({ ...spec, settings: { target_modules: ['w'] } }), /#\/settings\/target_modules/],
    [await submit({ ...spec, settings: { update: 'frozen' } }), /#\/settings\/update: .*expected rank_per batch/],
    [await submit({ ...spec, gate: { not_worse: true } }, lines(4), ''), /#\/gate: expected validation data/],
    [
      await submit(spec, JSON.stringify({ context: 'a', completion: 'b '.repeat(2000) })),
      /File 'data' is not usable: expected at least one example of up to \d+ tokens, got 1 in all/,
    ],
    [
      await submit(spec, lines(4), '{"context": "a", "completion": " "}'),
      /File 'validation' .*expected a reference of context 'a', got blank ones only/,
    ],
    [await submit(spec, lines(4), '{"context": "", "completion": "b"}'), /File 'validation' .*expected a context/],
    [
      await ask('/jobs', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(spec),
      }),
      /There is no data/,
    ],
    [
      await ask('/jobs', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ ...spec, dataset: 'none' }),
      }),
      /there is no 'none' in DATASETS_DIR/,
    ],
  ] as const) {
    t.equal(reply.status, 422, String(detail))
    t.match(reply.body.detail, detail)
    t.notMatch(reply.body.detail, at(), 'where files are is not told')
  }
  t.equal((await submit(spec, lines(4000))).status, 413)
  t.equal((await ask('/jobs/00000000-0000-4000-8000-000000000000')).status, 404)
  t.equal((await ask('/jobs/x')).status, 422)
  t.same((await ask('/jobs')).body.jobs, [], 'nothing waits')
  t.same(
    (await readdir(at('jobs'))).filter((name) => name !== 'queue'),
    [],
    'and nothing is left',
  )
  await writeFile(at('unused'), '')
})

t.test('who had a job before it was cancelled and tried again cannot publish it', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'dylora-queue-'))
  // The queue's thread keeps no process alive.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(alive))
  const queue = await JobQueue.open(await openEmbedded(directory), { supervise: true, warn: (error) => t.error(error) })
  const id = '00000000-0000-4000-8000-000000000001'
  await queue.submit(id, JobSpec.parse({ adapter: 'a' }), 10)
  const claims: Claim[] = []
  const forgotten = new AbortController()
  await queue.work('w', 2, async (claim) => {
    claims.push(claim)
    await after(60_000, null, { signal: forgotten.signal }).catch(() => {})
  })
  const claimed = async (n: number) => {
    for (let i = 0; claims.length < n && i < 300; i++) await after(50)
    return claims[n - 1] as Claim
  }
  const zombie = await claimed(1)
  await queue.cancel(id)
  await queue.retry(id, 10)
  const fresh = await claimed(2)
  t.same([zombie.attempt, fresh.attempt], [1, 1], 'attempts are counted anew')
  const { attempts } = queue
  t.same([await attempts.beat(zombie, 1), await attempts.beat(fresh, 1)], [false, true])
  t.equal(await attempts.beginPublishing(zombie), false)
  await attempts.finish(zombie, 'succeeded', null)
  t.equal((await queue.get(id)).state, 'running')
  t.equal(await attempts.beginPublishing(fresh), true)
  forgotten.abort()
  await queue.close()
  await rm(directory, { recursive: true, force: true })
})

t.test('a gate tells what was expected and what came', async (t) => {
  const measured = (shift: number) => ({
    maxRank: 8,
    quality: quality.map((point) => ({
      ...point,
      value: point.value + shift,
      ci95: [point.value + shift - 1, point.value + shift + 1] as const,
    })),
  })
  const gate = { not_worse: true }
  t.equal(gateRefusal(gate, measured(0), null), null)
  t.equal(gateRefusal(gate, measured(-0.9), measured(0)), null, 'within the interval')
  t.match(
    gateRefusal(gate, measured(-1.1), measured(0)),
    /^not_worse: bleu at rank 1 is 48\.9, outside the interval 49 to 51/,
  )
  t.equal(gateRefusal({ not_worse: false, min_quality: 60 }, measured(0), null), null)
  t.match(
    gateRefusal({ not_worse: false, min_quality: 61 }, measured(0), null),
    /expected bleu of 61 at rank 8, got 60/,
  )
  t.match(gateRefusal({ not_worse: false, min_quality: 1 }, { maxRank: 8, quality: [] }, null), /nothing was measured/)
})

t.test('settings are those of the trainer, in the spelling of the API', async (t) => {
  const spec = JobSpec.parse({
    adapter: 'a',
    recipe: 'paper',
    settings: { max_rank: 4, learning_rate: 1e-3, target_modules: ['q_proj', 'v_proj'] },
  })
  t.same(settingFlags(spec), [
    '--recipe',
    'paper',
    '--max-rank',
    '4',
    '--target-modules',
    'q_proj,v_proj',
    '--learning-rate',
    '0.001',
  ])
  t.same(settingFlags(JobSpec.parse({ adapter: 'a' })), [], 'what is left out is the trainer to decide')
})
