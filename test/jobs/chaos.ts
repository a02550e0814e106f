/**
 * `tsx test/jobs/chaos.ts [jobs] [seconds between kills]`: a real PostgreSQL, a server, two workers that are killed at random, and
 * jobs that must each be done once. Prints what happened; ends with 1 where one was lost or done twice.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import { importCheckpoint } from '../../src/dylora/import.ts'
import { fixturePath } from '../fixtures/golden.ts'
import { listening, type ServeProcess, startProcess } from '../fixtures/serve-process.ts'

const [jobs = 20, everySeconds = 5] = process.argv.slice(2).map(Number)
const directory = await mkdtemp(join(tmpdir(), 'dylora-chaos-'))
const at = (...names: string[]) => join(directory, ...names)
const asPostgres = process.getuid?.() === 0 ? { uid: Number(spawnSync('id', ['-u', 'postgres']).stdout) } : {}

const made = spawnSync('install', [
  '-d',
  '-m',
  '700',
  ...('uid' in asPostgres ? ['-o', String(asPostgres.uid)] : []),
  at('pg'),
  at('socket'),
])
if (made.status !== 0) throw new Error(String(made.stderr))
spawnSync('chmod', ['755', directory])
const initdb = spawnSync('initdb', ['-D', at('pg'), '-A', 'trust', '-U', 'dylora'], { ...asPostgres, encoding: 'utf8' })
if (initdb.status !== 0) throw new Error(initdb.stderr)
const postgres = spawn('postgres', ['-D', at('pg'), '-k', at('socket'), '-c', 'listen_addresses='], {
  ...asPostgres,
  stdio: 'ignore',
})
await after(3000)

await importCheckpoint(fixturePath('gpt2'), at('bases', 'tiny'))
const environment = {
  ...{ BASE_MODEL: at('bases', 'tiny'), ADAPTERS_DIR: at('adapters'), JOBS_DIR: at('jobs'), WORKER_THREADS: '1' },
  DATABASE_URL: `postgresql://dylora@localhost/postgres?host=${encodeURIComponent(at('socket'))}`,
}
const server = await startProcess('serve', environment, listening)
const worker = () => startProcess('worker', environment, /waiting for jobs/)
const workers: ServeProcess[] = [await worker(), await worker()]

const data = Array.from({ length: 40 }, (_, i) =>
  JSON.stringify({ context: `name : ${i}`, completion: ` ${i} is a pub .` }),
).join('\n')
const ids: string[] = []
for (let i = 0; i < jobs; i++) {
  const form = new FormData()
  const settings = { max_rank: 2, steps: 1500, batch_size: 4, target_modules: ['q_proj'], seed: i }
  form.append('job', JSON.stringify({ adapter: `adapter-${i}`, settings }))
  form.append('data', new Blob([data]), 'data.jsonl')
  const reply = await fetch(`${server.url}/jobs`, { method: 'POST', body: form })
  ids.push(((await reply.json()) as { id: string }).id)
}
console.log(`${ids.length} jobs queued`)

interface Job {
  readonly state: string
  readonly attempt: number
}
const look = () => Promise.all(ids.map(async (id) => (await (await fetch(`${server.url}/jobs/${id}`)).json()) as Job))

let kills = 0
for (;;) {
  const states = (await look()).map(({ state }) => state)
  const over = states.filter((state) => ['succeeded', 'failed', 'refused', 'cancelled'].includes(state)).length
  console.log(`${over} of ${jobs} over, ${kills} workers killed`)
  if (over === jobs) break
  await after(everySeconds * 1000)
  if (over > 0.8 * jobs) continue
  const which = Math.floor(Math.random() * workers.length)
  await workers[which]?.kill('SIGKILL')
  kills++
  workers[which] = await worker()
}

const ends = await Promise.all(
  ids.map(async (id) => {
    const story = await (await fetch(`${server.url}/jobs/${id}/events`)).text()
    return [...story.matchAll(/"state":"succeeded"/g)].length
  }),
)
const attempts = (await look()).map(({ attempt }) => attempt)
console.log(`ended in success, times each: ${ends.join(' ')}`)
console.log(`attempts: ${attempts.join(' ')}`)
const whole = ends.every((times) => times === 1)
console.log(whole ? `none lost, none twice, ${kills} workers killed` : 'NOT every job was done once')

for (const one of [...workers, server]) await one.kill('SIGTERM')
postgres.kill('SIGINT')
await once(postgres, 'exit')
await rm(directory, { recursive: true, force: true })
process.exit(whole ? 0 : 1)
