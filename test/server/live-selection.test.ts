/** Selecting a rank, live: policies, the cap under pressure, canaries and shadow evaluation, as replies and metrics show them. */
import t, { type Test } from 'tap'
import { greedySampling as sampling } from '../../src/inference/request.ts'
import { randomAdapter } from '../fixtures/adapters.ts'
import { inputs, quality, sseObjects, type TestAppOptions, testApp } from '../fixtures/app.ts'

async function setup(t: Test, engine: TestAppOptions['engine'] = {}) {
  const tested = await testApp(t, { engine })
  const details = async (url: string, parameters: object = {}, text = inputs) => {
    const reply = await tested.post(url, {
      inputs: text,
      parameters: { max_new_tokens: 4, details: true, ...parameters },
    })
    return reply.json().details
  }
  const metric = async (series: string) => {
    const { body } = await tested.app.inject('/metrics')
    const line = body.split('\n').find((each) => each.startsWith(`${series} `))
    return line === undefined ? undefined : Number(line.slice(series.length + 1))
  }
  return { ...tested, details, metric }
}

t.test('nothing of it is on by default', async (t) => {
  const { details, app } = await setup(t)
  const plain = await details('/generate?rank=1')
  t.notOk('shadow' in plain || 'canary_of' in plain)
  t.same((await app.inject('/adapters/e2e')).json().policy, {})
  t.notMatch((await app.inject('/metrics')).body, /^dylora_(shadow|canary)_\w+\{/m)
})

t.test('a policy of the settings comes before the adapter’s own, and both are told', async (t) => {
  const { app, details, post, engine, adapter } = await setup(t, { policies: { e2e: { maxRank: 3 } } })
  const own = randomAdapter(1, 8, { quality, policy: { defaultRank: 2, maxRank: 6 } })
  await engine.registry.add(await adapter('e2e', own))
  t.match((await app.inject('/adapters/e2e')).json(), {
    policy: { default_rank: 2, max_rank: 3 },
    auto: { rank: 3, reason: 'max_rank' },
  })
  t.match(await details('/generate'), { rank: 2, rank_requested: 2, rank_reason: 'default' })
  t.match(await details('/generate?rank=max'), { rank: 3, rank_reason: 'max' })
  t.match(await details('/generate?rank=auto'), { rank: 3, rank_reason: 'max_rank' })
  t.match((await post('/generate?rank=4', { inputs })).json(), {
    status: 422,
    rank: 4,
    allowed: [0, 1, 2, 3, 'max', 'auto', 'base'],
  })
})

t.test(
  'an adapter whose policy cannot be followed is refused with the reason, and the one before serves',
  async (t) => {
    const { app, engine, adapter, details } = await setup(t)
    const next = await adapter('e2e', randomAdapter(1, 8, { quality, policy: { defaultRank: 9 } }))
    await t.rejects(engine.registry.add(next), { code: 'adapter_invalid', message: /defaultRank 9/ })
    t.match((await app.inject('/adapters/e2e')).json(), { state: 'serving', reason: /defaultRank 9/, policy: {} })
    t.equal((await details('/generate')).rank, 8)
  },
)

t.test('while requests wait, auto takes no more than the cap, and says so', async (t) => {
  const pressure = { maxRank: 2, waiting: 2 }
  const { details, engine, metric } = await setup(t, { maxBatchSize: 1, selection: { pressure } })
  t.match(await details('/generate?rank=auto'), { rank: 4, rank_reason: 'auto' })
  const long = { max_new_tokens: 30 }
  const held = [1, 2, 3].map(() => details('/generate?rank=1', long))
  while (engine.stats.waiting < 2) await new Promise((resolve) => setImmediate(resolve))
  const [auto, asked, most] = await Promise.all(
    ['auto', '4', 'max'].map((rank) => details(`/generate?rank=${rank}`, { max_new_tokens: 2 })),
  )
  t.match(auto, { rank: 2, rank_requested: 'auto', rank_reason: 'pressure' })
  t.match(asked, { rank: 4, rank_reason: 'requested' })
  t.match(most, { rank: 8, rank_reason: 'max' })
  await Promise.all(held)
  t.match(await details('/generate?rank=auto'), { rank: 4, rank_reason: 'auto' }, 'and the cap is gone with the queue')
  t.equal(await metric('dylora_rank_decisions_total{requested="auto",chosen="2",reason="pressure"}'), 1)
})

t.test('a canary answers its share, the same request always the same way', async (t) => {
  const canary = { adapter: 'e2e', canary: 'other', share: 0.5 }
  const { details, metric, app, engine } = await setup(t, { selection: { canary } })
  const seeds = Array.from({ length: 16 }, (_, seed) => seed)
  const answers = await Promise.all(seeds.map((seed) => details('/generate?rank=1', { seed })))
  const canaries = answers.filter((each) => each.canary_of === 'e2e')
  t.ok(canaries.length > 2 && canaries.length < 14, String(canaries.length))
  t.ok(canaries.every((each) => each.adapter_id === 'other'))
  t.ok(answers.every((each) => each.adapter_id === (each.canary_of === undefined ? 'e2e' : 'other')))
  const again = await Promise.all(seeds.map((seed) => details('/generate?rank=1', { seed })))
  t.same(
    again.map((each) => each.adapter_id),
    answers.map((each) => each.adapter_id),
  )
  const count = (chosen: string) =>
    metric(`dylora_canary_requests_total{adapter="e2e",canary="other",chosen="${chosen}"}`)
  t.equal(await count('canary'), 2 * canaries.length)
  t.equal(await count('stable'), 32 - 2 * canaries.length)
  const seed = seeds[answers.findIndex((each) => each.canary_of === 'e2e')]
  t.match(
    await details('/generate?rank=7', { seed }),
    { adapter_id: 'e2e', rank: 7 },
    'a rank that only the stable one has',
  )
  t.match(await details('/generate?adapter_id=other&rank=1', { seed }), { adapter_id: 'other', canary_of: undefined })
  const streamed = await app.inject({
    method: 'POST',
    url: '/generate_stream?rank=1',
    payload: { inputs, parameters: { max_new_tokens: 2, seed } },
  })
  t.match(sseObjects<{ details: object }>(streamed.body).at(-1)?.details, { adapter_id: 'other', canary_of: 'e2e' })
  engine.registry.remove('other')
  t.match(
    await details('/generate?rank=1', { seed }),
    { adapter_id: 'e2e' },
    'a canary that does not serve takes nothing',
  )
})

t.test('without a seed the id of the request decides', async (t) => {
  const canary = { adapter: 'e2e', canary: 'other', share: 0.5 }
  const { app } = await setup(t, { selection: { canary } })
  const ask = async (id: string) => {
    const { headers } = await app.inject({
      method: 'POST',
      url: '/generate?rank=1',
      headers: { 'x-request-id': id },
      payload: { inputs, parameters: { max_new_tokens: 1 } },
    })
    return headers['x-adapter-id']
  }
  const ids = Array.from({ length: 12 }, (_, i) => `id-${i}`)
  const first = await Promise.all(ids.map(ask))
  t.equal(new Set(first).size, 2)
  t.same(await Promise.all(ids.map(ask)), first)
})

t.test('a shadow says what the highest rank would have thought of each token', async (t) => {
  const { details, metric, engine, app } = await setup(t, { selection: { shadowShare: 1 } })
  const settled = async (outcome: string, rank: number, wanted: number) => {
    const series = `dylora_shadow_requests_total{adapter="e2e",rank="${rank}",outcome="${outcome}"}`
    while (((await metric(series)) ?? 0) < wanted) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  const low = await details('/generate?rank=1', { max_new_tokens: 6 })
  t.equal(low.shadow, true)
  await settled('success', 1, 1)
  // The same by hand: how likely the highest rank finds these tokens after the same prompt.
  const again = await engine.submit({
    ...{ inputs, adapterId: 'e2e', rank: 'max', maxNewTokens: 1, stop: [] },
    ...{ sampling, scored: low.tokens.map(({ id }: { id: number }) => id) },
  }).result
  const scored = again.prefill.slice(-6).map(({ logprob }) => logprob ?? Number.NaN)
  const of = (name: string, more = '') => metric(`dylora_shadow_${name}_total{adapter="e2e",rank="1"${more}}`)
  const sum = (values: readonly number[]) => values.reduce((a, b) => a - b, 0)
  const near = async (value: Promise<number | undefined>, wanted: number) =>
    t.ok(Math.abs(((await value) ?? Number.NaN) - wanted) < 1e-3, `${await value} is ${wanted}`)
  await near(of('nats', ',scored_at="highest"'), sum(scored))
  await near(of('nats', ',scored_at="served"'), sum(low.tokens.map(({ logprob }: { logprob: number }) => logprob)))
  t.equal(await of('tokens'), 6)
  const agreed = again.prefillLikeliest.slice(-6).filter(Boolean).length
  t.equal(await of('agreed_tokens'), agreed)
  t.ok(agreed < 6, 'ranks differ here')
  t.notOk('shadow' in (await details('/generate?rank=8')), 'there is nothing to compare with itself')
  t.notOk('shadow' in (await details('/generate?rank=1', { temperature: 1 })), 'sampled tokens are not compared')
  t.equal(await metric('dylora_requests_total{adapter="e2e",rank="8",outcome="success",finish_reason="length"}'), 2)
  await app.close()
})

t.test('a shadow of the highest rank itself would agree in every token', async (t) => {
  const { engine, details } = await setup(t)
  const { tokens } = await details('/generate?rank=8', { max_new_tokens: 6 })
  const again = await engine.submit({
    ...{ inputs, adapterId: 'e2e', rank: 8, maxNewTokens: 1, stop: [], sampling },
    scored: tokens.map(({ id }: { id: number }) => id),
  }).result
  t.same(again.prefillLikeliest.slice(-6), Array(6).fill(true))
  const gaps = again.prefill.slice(-6).map(({ logprob }, i) => Math.abs((logprob ?? 0) - tokens[i].logprob))
  t.ok(Math.max(...gaps) < 1e-4)
})
