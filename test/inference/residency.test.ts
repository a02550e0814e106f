/** Factors leave the memory and come back, and no answer, no batch and no request knows. */
import fc from 'fast-check'
import t, { type Test } from 'tap'
import type { Adapter } from '../../src/dylora/adapter.ts'
import { errors } from '../../src/errors.ts'
import { Residency, Resident } from '../../src/inference/residency.ts'
import { randomAdapter } from '../fixtures/adapters.ts'
import { request, testEngine } from '../fixtures/engine.ts'

const adapterOfRank = (rank: number, name: string): Adapter => ({ ...randomAdapter(1, rank), name, digest: name })

t.test('within the budget but for what is in use, whatever comes and goes', async () => {
  const anyStep = fc.record({ of: fc.nat(4), what: fc.constantFrom('acquire', 'release', 'remove') })
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { maxLength: 40 }), fc.nat(6), async (steps, budgetRanks) => {
      const residents = [1, 2, 3, 1, 2].map((rank, i) => {
        const adapter = adapterOfRank(rank, `${i}`)
        return new Resident(adapter, async () => adapter.factors)
      })
      const perRank = residents[0]!.bytes
      const residency = new Residency(budgetRanks * perRank)
      for (const resident of residents) residency.add(resident)
      for (const { of, what } of steps) {
        const resident = residents[of]!
        if (what === 'acquire') await residency.acquire(resident)
        else if (what === 'release' && resident.users > 0) residency.release(resident)
        else if (what === 'remove') residency.remove(resident)
        const loaded = residents.filter((one) => one.isLoaded && one.serves)
        const { bytes, resident: count } = residency.stats
        if (count !== loaded.length || bytes !== loaded.reduce((sum, one) => sum + one.bytes, 0)) return false
        if (residents.some((one) => one.users > 0 && !one.isLoaded)) return false
        if (bytes > budgetRanks * perRank && loaded.some((one) => one.users === 0)) return false
      }
      return true
    }),
    { numRuns: 300 },
  )
})

t.test('the one that was used longest ago goes first, and what cannot come back stays', async (t) => {
  const make = (name: string, load = true) => {
    const adapter = adapterOfRank(1, name)
    return new Resident(adapter, load ? async () => adapter.factors : null)
  }
  const [fixed, a, b, c] = [make('fixed', false), make('a'), make('b'), make('c')]
  const residency = new Residency(3 * a.bytes)
  for (const one of [fixed, a, b]) residency.add(one)
  t.equal(residency.acquire(a), null)
  residency.release(a)
  residency.add(c)
  t.same(
    [fixed, a, b, c].map(({ isLoaded }) => isLoaded),
    [true, true, false, true],
  )
  t.throws(() => b.factors, TypeError)
})

/** An engine with room for none, and adapters whose loads the test lets through. */
async function setup(t: Test, options = {}) {
  const { engine, adapter } = await testEngine(t, { adapterMemoryBytes: 1, maxBatchSize: 4, ...options })
  const loads: { name: string; let: () => void; fail: (error: Error) => void }[] = []
  for (const [seed, name] of ['one', 'two'].entries()) {
    const written = await adapter(name, randomAdapter(seed + 1))
    await engine.registry.add(
      written,
      () => new Promise((resolve, reject) => loads.push({ name, let: () => resolve(written.factors), fail: reject })),
    )
  }
  const loaded = async (name: string) => {
    while (!loads.some((load) => load.name === name)) await new Promise((resolve) => setImmediate(resolve))
    return loads.splice(
      loads.findIndex((load) => load.name === name),
      1,
    )[0]!
  }
  return { engine, loads, loaded }
}

t.test('one load serves all who wait for it, and those who need none go on meanwhile', async (t) => {
  const { engine, loads, loaded } = await setup(t)
  t.equal(engine.stats.residency.resident, 0)
  const waiting = [1, 2, 4].map((rank) => engine.submit(request('a', { adapterId: 'one', rank })).result)
  const load = await loaded('one')
  const others = [null, 'two'].map((adapterId) => engine.submit(request('a', { adapterId })).result)
  ;(await loaded('two')).let()
  t.equal((await Promise.all(others)).length, 2, 'neither a load nor the queue holds them back')
  t.match(engine.stats, { running: 0, waiting: 3 })
  load.let()
  const texts = (await Promise.all(waiting)).map(({ text }) => text)
  t.equal(loads.length, 0, 'one load was asked for')
  const { engine: roomy, adapter } = await testEngine(t)
  await roomy.registry.add(await adapter('one', randomAdapter(1)))
  const expected = [1, 2, 4].map((rank) => roomy.submit(request('a', { adapterId: 'one', rank })).result)
  t.same(
    texts,
    (await Promise.all(expected)).map(({ text }) => text),
  )
  t.match(engine.stats.residency, { resident: 0, bytes: 0, loads: 2 })
})

t.test('factors that cannot be read fail those who need them, and are tried again', async (t) => {
  const { engine, loaded } = await setup(t)
  const failing = engine.submit(request('a', { adapterId: 'one' })).result
  const other = engine.submit(request('a', { adapterId: null })).result
  ;(await loaded('one')).fail(errors.notReady('gone'))
  await t.rejects(failing, { code: 'not_ready', message: 'gone' })
  await other
  const again = engine.submit(request('a', { adapterId: 'one' })).result
  ;(await loaded('one')).let()
  t.ok((await again).tokens.length > 0)
})

t.test('who leaves or runs out of time while factors are read is gone at once', async (t) => {
  const { engine, loaded } = await setup(t, { requestTimeoutMs: 50 })
  const controller = new AbortController()
  const left = engine.submit(request('a', { adapterId: 'one', signal: controller.signal })).result
  const late = engine.submit(request('a', { adapterId: 'two' })).result
  controller.abort()
  await t.rejects(left, { code: 'cancelled' })
  await t.rejects(late, { code: 'generation', message: /longer than 50 ms/ })
  for (const name of ['one', 'two']) (await loaded(name)).let()
  t.match(engine.stats, { running: 0, waiting: 0 })
})

t.test('draining waits for those who wait for factors', async (t) => {
  const { engine, loaded } = await setup(t)
  const waiting = engine.submit(request('a', { adapterId: 'one' })).result
  const load = await loaded('one')
  const drained = engine.drain().then(() => 'drained')
  t.equal(await Promise.race([drained, new Promise((resolve) => setTimeout(resolve, 20, 'waits'))]), 'waits')
  load.let()
  t.ok((await waiting).tokens.length > 0)
  t.equal(await drained, 'drained')
})

t.test('a version that was replaced while its factors were read answers those who asked for it', async (t) => {
  const { engine, loaded } = await setup(t)
  const waiting = engine.submit(request('a', { adapterId: 'one' }))
  const load = await loaded('one')
  engine.registry.remove('one')
  load.let()
  t.equal((await waiting.result).adapterDigest, waiting.served.adapterDigest)
  t.match(engine.stats.residency, { resident: 0, bytes: 0 })
})
