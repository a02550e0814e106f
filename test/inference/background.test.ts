/** The background takes what live requests leave, gives it back at the next step, and gives the same answers. */
import t from 'tap'
import type { Engine } from '../../src/inference/engine.ts'
import { type GenerateRequest, greedySampling } from '../../src/inference/request.ts'
import { randomAdapter } from '../fixtures/adapters.ts'
import { request, testEngine } from '../fixtures/engine.ts'

type Test = Parameters<typeof testEngine>[0]

const background = (inputs: string, changes: Partial<GenerateRequest> = {}) =>
  request(inputs, { priority: 'background', maxNewTokens: 40, ...changes })

async function setup(t: Test, options: Parameters<typeof testEngine>[1] = {}) {
  const tested = await testEngine(t, { maxBatchSize: 2, maxBackgroundSlots: 2, prefillChunk: 3, ...options })
  await tested.engine.registry.add(await tested.adapter('e2e', randomAdapter(1)))
  return tested.engine
}

/** Resolves after so many decode steps from now on. */
const steps = (engine: Engine, count: number) =>
  new Promise<void>((resolve) => {
    let seen = 0
    const listener = () => {
      seen += 1
      if (seen < count) return
      engine.off('step', listener)
      resolve()
    }
    engine.on('step', listener)
  })

t.test('a live request starts at the next step where the background has all slots, and ends before it', async (t) => {
  const engine = await setup(t)
  const order: string[] = []
  const texts = ['a', 'name : The Vaults', 'x y z']
  const evaluations = texts.map((text) =>
    engine.submit(background(text)).result.then((result) => {
      order.push('background')
      return result.text
    }),
  )
  await steps(engine, 5)
  t.match(engine.stats, { running: 0, waiting: 0, background: 3 })
  t.ok(engine.stats.kvCacheUsage > 0)
  const live = engine.submit(request('The quick brown fox', { maxNewTokens: 4 }))
  engine.once('firstToken', () => order.push('first token'))
  const { text } = await live.result
  order.push('live')
  const together = await Promise.all(evaluations)
  t.same(order, ['first token', 'live', 'background', 'background', 'background'])
  t.equal(text, (await engine.submit(request('The quick brown fox', { maxNewTokens: 4 })).result).text)
  for (const [i, each] of texts.entries()) {
    t.equal(together[i], (await engine.submit(request(each, { maxNewTokens: 40 })).result).text, each)
  }
})

t.test('a live request takes over in the middle of a prefill of the background', async (t) => {
  const engine = await setup(t, { maxBatchSize: 1 })
  const long = 'The quick brown fox jumps over the lazy dog'
  const slow = engine.submit(background(long, { maxNewTokens: 2, prefillDetails: true }))
  while (engine.stats.kvCacheUsage === 0) await new Promise((resolve) => setImmediate(resolve))
  const order: string[] = []
  const finished = slow.result.then(() => order.push('background'))
  await engine.submit(request('a', { maxNewTokens: 3 })).result
  order.push('live')
  const { text, prefill } = await slow.result
  await finished
  t.same(order, ['live', 'background'])
  const again = await engine.submit(request(long, { maxNewTokens: 2, prefillDetails: true })).result
  t.equal(text, again.text)
  t.same(
    prefill.map(({ id }) => id),
    again.prefill.map(({ id }) => id),
  )
})

t.test('while live requests wait the background is not admitted, whoever came first', async (t) => {
  const engine = await setup(t, { maxBatchSize: 1 })
  const order: string[] = []
  const submit = (name: string, each: GenerateRequest) =>
    engine.submit({ ...each, maxNewTokens: 3 }).result.then(() => order.push(name))
  const all = [
    submit('background 1', background('a')),
    submit('background 2', background('a')),
    ...[1, 2, 3].map((i) => submit(`live ${i}`, request('a'))),
  ]
  await Promise.all(all)
  t.same(order, ['live 1', 'live 2', 'live 3', 'background 1', 'background 2'])
})

t.test('the background holds its share of the slots and leaves the others', async (t) => {
  const engine = await setup(t, { maxBatchSize: 4, maxBackgroundSlots: 2 })
  const sizes = new Set<number>()
  engine.on('step', ({ batchSize }) => sizes.add(batchSize))
  await Promise.all(Array.from({ length: 8 }, () => engine.submit(background('a', { maxNewTokens: 6 })).result))
  t.equal(Math.max(...sizes), 2)
  t.throws(() => engine.submit(background('a', { beamSearch: { beams: 3, lengthPenalty: 1, earlyStopping: false } })), {
    code: 'validation',
    message: /num_beams 3 needs 3 places/,
  })
})

t.test('the background fills no queue, and nothing is told of it', async (t) => {
  const engine = await setup(t, { maxWaiting: 1, maxWaitingTokens: 20 })
  const told: string[] = []
  for (const event of ['finished', 'firstToken', 'interToken', 'rejected', 'rankDecision'] as const) {
    engine.on(event, () => told.push(event))
  }
  const many = Array.from({ length: 30 }, () => engine.submit(background('x y z', { maxNewTokens: 2 })).result)
  t.throws(() => engine.submit(background('a', { rank: 77 })), { code: 'rank_not_allowed' })
  t.match(engine.stats, { running: 0, waiting: 0, background: 30, waitingAdapters: [] })
  await Promise.all(many)
  t.same(told, [])
  const refill = Array.from({ length: 30 }, () => engine.submit(background('x y z', { maxNewTokens: 2 })).result)
  await engine.submit(request('a')).result
  t.throws(() => [request('a'), request('a')].map((each) => engine.submit(each)), { code: 'overloaded' })
  await Promise.all(refill)
})

t.test('one signal ends all of them and frees the slots', async (t) => {
  const engine = await setup(t)
  const controller = new AbortController()
  const { signal } = controller
  const all = Array.from({ length: 20 }, () => engine.submit(background('a', { signal })).result)
  await steps(engine, 2)
  controller.abort()
  for (const each of all) await t.rejects(each, { code: 'cancelled' })
  t.match(engine.stats, { background: 0, kvCacheUsage: 0 })
})

t.test('sampling and beams that were evicted give the same text', async (t) => {
  const engine = await setup(t, { maxBatchSize: 3, maxBackgroundSlots: 3 })
  const asks: Partial<GenerateRequest>[] = [
    { sampling: { ...greedySampling, temperature: 1, seed: 7 }, bestOf: 3 },
    { beamSearch: { beams: 3, lengthPenalty: 0.8, earlyStopping: 'never' } },
  ]
  for (const ask of asks) {
    let decoded = 0
    const count = () => {
      decoded += 1
    }
    engine.on('step', count)
    const alone = await engine.submit(background('name : The Vaults', { ...ask, maxNewTokens: 12 })).result
    const stepsAlone = decoded
    const evicted = engine.submit(background('name : The Vaults', { ...ask, maxNewTokens: 12 })).result
    await steps(engine, stepsAlone - 1)
    await Promise.all([1, 2, 3].map(() => engine.submit(request('a', { maxNewTokens: 2 })).result))
    const { text, score, seed, others } = await evicted
    const { text: expected, ...rest } = alone
    t.equal(text, expected)
    t.same({ score, seed, others }, { score: rest.score, seed: rest.seed, others: rest.others })
    t.ok(decoded >= 3 * stepsAlone - 1, `${decoded} steps, ${stepsAlone} alone: it has started again`)
    engine.off('step', count)
  }
})

t.test('the background whose time ran out while others were served says so', async (t) => {
  const engine = await setup(t, { maxBatchSize: 1, requestTimeoutMs: 1 })
  const starved = engine.submit(background('a'))
  const live = engine.submit(request('a'))
  live.result.catch(() => {})
  await t.rejects(starved.result, { code: 'overloaded', message: /Live requests have left no place/ })
})
