/** Several texts of one prompt: each is the text of its own seed, and the likeliest comes first. */
import t from 'tap'
import { greedySampling } from '../../src/inference/request.ts'
import { randomAdapter } from '../fixtures/adapters.ts'
import { request, testEngine } from '../fixtures/engine.ts'

const sampling = { ...greedySampling, temperature: 1 }
const text = 'name : The Vaults'

t.test('each text is that of a request with its seed, also at the end of the seeds', async (t) => {
  const { engine } = await testEngine(t)
  for (const [seed, seeds] of [
    [7, [7, 8, 9]],
    [Number.MAX_SAFE_INTEGER - 1, [0, Number.MAX_SAFE_INTEGER - 1, Number.MAX_SAFE_INTEGER]],
  ] as const) {
    const best = await engine.submit(request(text, { bestOf: 3, sampling: { ...sampling, seed }, topNTokens: 2 }))
      .result
    const all = [best, ...best.others]
    t.same(
      all.map(({ seed }) => seed!).toSorted((a, b) => a - b),
      seeds,
    )
    for (const { seed, ...found } of all) {
      const alone = await engine.submit(request(text, { sampling: { ...sampling, seed }, topNTokens: 2 })).result
      t.equal(found.text, alone.text)
      t.same(
        found.topTokens.map((top) => top.map(({ id }) => id)),
        alone.topTokens.map((top) => top.map(({ id }) => id)),
      )
    }
  }
})

t.test('the likeliest by the mean of its log-probabilities comes first, whatever its length', async (t) => {
  const { engine } = await testEngine(t)
  const wanted = request(text, { bestOf: 8, sampling: { ...sampling, seed: 1 }, stop: ['a', 'e'], maxNewTokens: 40 })
  const running = engine.submit(wanted)
  const events = []
  for await (const event of running.tokens) events.push(event)
  const best = await running.result
  const scores = [best, ...best.others].map(({ tokens, score }) => {
    const mean = tokens.reduce((sum, { logprob }) => sum + logprob!, 0) / tokens.length
    t.ok(Math.abs(mean - score!) < 1e-9)
    return mean
  })
  t.same(
    scores,
    scores.toSorted((a, b) => b - a),
  )
  t.ok(new Set(best.others.map(({ tokens }) => tokens.length)).size > 1, 'some ended before others')
  t.same(
    events.map(({ token }) => token),
    best.tokens,
    'only the best is published',
  )
  t.equal(events.map(({ delta }) => delta).join(''), best.text)
})

t.test('a text that ends gives its place to who waits', async (t) => {
  const { engine, adapter } = await testEngine(t, { maxBatchSize: 4 })
  await engine.registry.add(await adapter('one', randomAdapter(1)))
  const several = request(text, {
    adapterId: null,
    bestOf: 4,
    sampling: { ...sampling, seed: 1 },
    stop: ['a', 'e'],
    maxNewTokens: 40,
  })
  const seen: string[] = []
  engine.on('firstToken', ({ rank }) => seen.push(`first token at ${rank}`))
  engine.on('finished', ({ served: { rank } }) => seen.push(`finished at ${rank}`))
  const one = request('a', { adapterId: 'one', rank: 1, maxNewTokens: 2 })
  await Promise.all([several, one].map((each) => engine.submit(each).result))
  t.same(seen.slice(0, 2), ['first token at 0', 'first token at 1'])
  t.match(engine.stats, { running: 0, kvCacheUsage: 0 })
})

t.test('without a seed one is drawn and told; one text has no score and no others', async (t) => {
  const { engine } = await testEngine(t)
  const { seed, score, others } = await engine.submit(request(text, { sampling })).result
  t.type(seed, 'number')
  t.same({ score, others }, { score: null, others: [] })
  t.match(await engine.submit(request(text)).result, { seed: null, score: null, others: [] }, 'greedy draws nothing')
})
