import t from 'tap'
import { quality, testApp } from '../fixtures/app.ts'
import { adapterOf } from '../fixtures/engine.ts'

interface Described {
  readonly id: string
  readonly auto: { readonly rank: number } | null
  readonly ranks: readonly { readonly rank: number; readonly baselines: readonly object[] }[]
}

t.test('the list may leave out the ranks', async (t) => {
  const { app } = await testApp(t)
  const list = async (query: string) =>
    (await app.inject({ url: `/adapters${query}` })).json<{ adapters: Described[] }>().adapters
  t.same(
    (await list('?ranks=false')).map(({ id, ranks }) => [id, ranks.length]),
    [
      ['e2e', 0],
      ['other', 0],
    ],
  )
  t.same(
    (await list('')).map(({ ranks }) => ranks.length),
    [9, 4],
  )
  t.same(await list('?ranks=true'), await list(''))
})

t.test('an adapter tells what auto takes at a budget of the asker', async (t) => {
  const { app } = await testApp(t)
  const rank = async (query: string) =>
    (await app.inject({ url: `/adapters/e2e${query}` })).json<Described>().auto?.rank
  t.same([await rank(''), await rank('?min_quality=0.99')], [4, 4])
  t.same([await rank('?min_quality=1'), await rank('?min_quality=.9'), await rank('?min_quality=1.0')], [8, 2, 8])
})

t.test('what is not as documented is refused by name', async (t) => {
  const { app } = await testApp(t)
  for (const [url, parameter] of [
    ['/adapters?ranks=no', 'ranks'],
    ['/adapters?rank=1', 'rank'],
    ['/adapters/e2e?min_quality=0', 'min_quality'],
    ['/adapters/e2e?min_quality=1.5', 'min_quality'],
    ['/adapters/e2e?min_quality=NaN', 'min_quality'],
  ] as const) {
    const reply = await app.inject({ url })
    t.equal(reply.statusCode, 422, url)
    t.match(reply.json(), { errors: [{ parameter }] }, url)
  }
})

t.test('what other trainings reach stands beside the curve, and auto never reads it', async (t) => {
  const { app, engine } = await testApp(t)
  const adapter = adapterOf(engine, 'e2e')
  const [point] = quality
  if (point === undefined) throw new RangeError('expected a point')
  await engine.registry.add({ ...adapter, baselines: [{ ...point, method: 'lora', primary: false, value: 99 }] })
  const { ranks, auto } = (await app.inject({ url: '/adapters/e2e' })).json<Described>()
  t.match(
    ranks.find(({ rank }) => rank === 1),
    {
      baselines: [{ method: 'lora', metric: 'bleu', value: 99, higher_is_better: true }],
      quality: [{ value: 50 }, {}],
    },
  )
  t.same(ranks.find(({ rank }) => rank === 2)?.baselines, [])
  t.equal(auto?.rank, 4)
})
