import { copyFile, cp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { writeAdapter } from '../../src/dylora/adapter-directory.ts'
import { directoryStore } from '../../src/dylora/store/directory-store.ts'
import type { EngineOptions } from '../../src/inference/engine.ts'
import { AdapterWatcher } from '../../src/server/adapter-watcher.ts'
import { registrySink } from '../../src/server/registry-sink.ts'
import { randomAdapter } from '../fixtures/adapters.ts'
import { inputs, quality, testApp } from '../fixtures/app.ts'
import { fixturePath } from '../fixtures/golden.ts'

/** The service with its adapters directory watched. */
async function setup(t: Test, engine: Partial<EngineOptions> = {}) {
  const tested = await testApp(t, { engine })
  const directory = join(tested.directory, 'adapters')
  const store = directoryStore(directory, { keptVersions: 0, pinned: [] })
  const watcher = new AdapterWatcher({
    store,
    sink: registrySink(tested.engine.registry, store, pino({ level: 'silent' })),
    warn: (error) => t.fail(String(error)),
    settleMs: 60,
    rescanMs: 500,
  })
  t.teardown(() => watcher.close())
  await watcher.start()
  const ask = (query: string) =>
    tested.post(`/generate?${query}`, { inputs, parameters: { max_new_tokens: 3, details: true } })
  return { ...tested, adapters: directory, ask }
}

async function eventually(t: Test, condition: () => boolean, message: string): Promise<void> {
  for (let tries = 0; tries < 1000 && !condition(); tries++) await sleep(10)
  t.ok(condition(), message)
}

t.test('serves an adapter that is published while the server runs', async (t) => {
  const { adapters, ask, engine } = await setup(t)
  t.equal((await ask('adapter_id=fresh')).statusCode, 404)
  await writeAdapter(join(adapters, 'fresh'), randomAdapter(7, 4))
  await eventually(t, () => engine.registry.get('fresh')?.state === 'serving', 'it serves')
  t.match((await ask('adapter_id=fresh&rank=3')).json(), { details: { adapter_id: 'fresh', rank: 3 } })
})

t.test('serves a plain copy of an adapter directory under its own name', async (t) => {
  const { adapters, ask, engine } = await setup(t)
  await cp(join(adapters, 'e2e'), join(adapters, 'copy'), { recursive: true })
  await eventually(t, () => engine.registry.get('copy')?.state === 'serving', 'it serves')
  const [copy, original] = [(await ask('adapter_id=copy&rank=2')).json(), (await ask('rank=2')).json()]
  t.equal(copy.generated_text, original.generated_text)
  t.equal(copy.details.adapter_digest, original.details.adapter_digest)
})

t.test('refuses a corrupted copy with the reason, while the good one goes on serving', async (t) => {
  const { adapters, ask, app, engine } = await setup(t)
  await cp(join(adapters, 'e2e'), join(adapters, '.copy'), { recursive: true })
  const file = join(adapters, '.copy', 'adapter_model.safetensors')
  const bytes = await readFile(file)
  bytes[bytes.length - 40]! ^= 0xff
  await writeFile(file, bytes)
  await cp(join(adapters, '.copy'), join(adapters, 'corrupted'), { recursive: true })
  await eventually(t, () => engine.registry.get('corrupted')?.state === 'refused', 'it is refused')
  t.match((await app.inject('/adapters/corrupted')).json(), { state: 'refused', reason: /corrupted.*(digest|finite)/ })
  t.equal((await ask('adapter_id=corrupted')).statusCode, 404)
  t.equal((await ask('adapter_id=e2e&rank=4')).statusCode, 200)
})

t.test(
  'keeps the old version of an adapter in service when the new one is bad, and takes the next good one',
  async (t) => {
    const { adapters, ask, app, engine } = await setup(t)
    const file = join(adapters, 'e2e', 'adapter_model.safetensors')
    await copyFile(file, join(adapters, '.good'))
    const before = (await ask('rank=4')).json()
    await writeFile(file, (await readFile(file)).subarray(0, 1000))
    await eventually(t, () => engine.registry.get('e2e')?.reason !== null, 'the new version is refused')
    t.match((await app.inject('/adapters/e2e')).json(), { state: 'serving', reason: /./ })
    t.same((await ask('rank=4')).json().generated_text, before.generated_text)
    await copyFile(join(adapters, '.good'), file)
    await eventually(t, () => engine.registry.get('e2e')?.reason === null, 'the good version is back')
    await writeAdapter(join(adapters, 'e2e'), randomAdapter(9, 8, { quality }))
    const isNew = () => engine.registry.get('e2e')?.adapter?.digest !== before.details.adapter_digest
    await eventually(t, isNew, 'the next version serves')
    t.equal((await ask('rank=4')).statusCode, 200)
  },
)

t.test('takes a new curve of the same factors', async (t) => {
  const { adapters, app, engine } = await setup(t)
  await writeAdapter(join(adapters, 'other'), randomAdapter(2, 3, { quality: quality.filter(({ rank }) => rank <= 3) }))
  await eventually(t, () => engine.registry.get('other')?.autoChoice?.reason === 'auto', 'it has a curve')
  t.match((await app.inject('/metrics')).body, 'dylora_adapter_rank_quality{adapter="other",rank="3"')
})

t.test('takes a new policy of the same factors', async (t) => {
  const { adapters, app, engine } = await setup(t)
  await writeAdapter(join(adapters, 'other'), randomAdapter(2, 3, { policy: { maxRank: 2 } }))
  await eventually(t, () => engine.registry.get('other')?.policy.maxRank === 2, 'it has a policy')
  t.match((await app.inject('/adapters/other')).json(), { policy: { max_rank: 2 }, max_rank: 3 })
})

t.test('removes an adapter whose directory is gone', async (t) => {
  const { adapters, ask, engine } = await setup(t)
  await rm(join(adapters, 'other'), { recursive: true })
  await eventually(t, () => engine.registry.get('other') === undefined, 'it is gone')
  t.match((await ask('adapter_id=other')).json(), { status: 404, known: ['base', 'e2e'] })
})

t.test('serves a plain PEFT LoRA at its own rank only', async (t) => {
  const { adapters, ask, engine } = await setup(t)
  await cp(fixturePath('peft-lora'), join(adapters, 'plain'), { recursive: true })
  await eventually(t, () => engine.registry.get('plain')?.adapter !== undefined, 'it is found')
  const entry = engine.registry.get('plain')
  t.equal(entry?.reason, null)
  const own = entry?.adapter?.maxRank ?? 0
  t.match((await ask(`adapter_id=plain&rank=${own}`)).json(), { details: { rank: own } })
  t.match((await ask('adapter_id=plain&rank=1')).json(), { status: 422, allowed: [0, own, 'max', 'auto', 'base'] })
})

t.test('refuses what is no adapter, by name', async (t) => {
  const { adapters, engine } = await setup(t)
  await cp(fixturePath('gpt2'), join(adapters, 'model'), { recursive: true })
  await eventually(t, () => engine.registry.get('model')?.state === 'refused', 'it is refused')
  t.match(engine.registry.get('model')?.reason, /adapter_config\.json/)
})

t.test('refuses an adapter of another base, and says which one it belongs to', async (t) => {
  const { adapters, app, engine } = await setup(t)
  const foreign = { baseModel: 'elsewhere', baseDigest: `sha256:${'0'.repeat(64)}` }
  await writeAdapter(join(adapters, 'foreign'), randomAdapter(3, 2, foreign))
  await eventually(t, () => engine.registry.get('foreign')?.state === 'refused', 'it is refused')
  t.match((await app.inject('/adapters/foreign')).json(), { state: 'refused', reason: /elsewhere sha256:000/ })
})

t.test('adapters beyond the memory are read again when they are asked for, and say so where they cannot', async (t) => {
  const { engine, adapter, ask, adapters, app } = await setup(t, { adapterMemoryBytes: 1 })
  for (const seed of [1, 2]) await adapter(`out-${seed}`, randomAdapter(seed))
  await eventually(t, () => engine.registry.get('out-2')?.state === 'serving', 'both serve')
  const residentOf = async (id: string) => (await app.inject(`/adapters/${id}`)).json().resident
  t.equal(await residentOf('out-1'), false)
  const [first, second] = [await ask('adapter_id=out-1&rank=2'), await ask('adapter_id=out-2&rank=2')]
  t.same([first.statusCode, second.statusCode], [200, 200])
  t.not(first.json().details.adapter_digest, second.json().details.adapter_digest)
  t.equal(engine.stats.residency.loads, 2)
  t.ok(engine.stats.residency.evictions >= 4)
  const digest = first.json().details.adapter_digest.replace('sha256:', '').slice(0, 12)
  await cp(join(adapters, 'out-1'), join(adapters, `out-1@${digest}`), { recursive: true })
  const away = join(adapters, '..', 'away')
  await rename(join(adapters, 'out-1'), away)
  t.equal((await ask('adapter_id=out-1&rank=2')).statusCode, 200, 'the version beside it has them')
  await rename(away, join(adapters, 'out-1'))
  await rm(join(adapters, `out-1@${digest}`), { recursive: true })
  await writeFile(join(adapters, 'out-1', 'adapter_model.safetensors'), 'spoiled')
  const spoiled = await ask('adapter_id=out-1&rank=2')
  t.equal(spoiled.statusCode, 503)
  t.match(spoiled.json(), { detail: /factors of adapter 'out-1' cannot be read again/ })
  t.notMatch(spoiled.body, adapters, 'no path is told')
  t.equal((await ask('adapter_id=out-2&rank=2')).statusCode, 200)
})
