import { spawnSync } from 'node:child_process'
import t, { type Test } from 'tap'
import type { QualityPoint } from '../../src/dylora/adapter.ts'
import { inputs, quality, testApp } from '../fixtures/app.ts'
import { adapterOf } from '../fixtures/engine.ts'

/** Samples by name and labels, of the text format. */
function samplesOf(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => {
      const [, series = '', value = ''] = /^(.+) (\S+)$/.exec(line) ?? []
      return [series, Number(value)]
    }),
  )
}

async function setup(t: Test, vllmMetrics = false) {
  const tested = await testApp(t, { app: { vllmMetrics }, engine: { prefixCacheBytes: 1e6 } })
  const scrape = async () => (await tested.app.inject('/metrics')).body
  return { ...tested, scrape }
}

t.test('shows the quality of every rank before the first request', async (t) => {
  const { scrape } = await setup(t)
  const samples = samplesOf(await scrape())
  for (const { rank, split, value } of quality) {
    const labels = `adapter="e2e",rank="${rank}",metric="bleu",dataset="e2e",split="${split}"`
    t.equal(samples.get(`dylora_adapter_rank_quality{${labels}}`), value, labels)
  }
})

t.test('texts of another decoding have a series of their own', async (t) => {
  const { engine, scrape } = await setup(t)
  const [point] = quality as [QualityPoint]
  const searched = { ...point, value: 70, primary: false, decoding: 'num_beams=10' }
  await engine.registry.add({ ...adapterOf(engine, 'e2e'), quality: [point, searched] })
  const samples = samplesOf(await scrape())
  const labels = 'adapter="e2e",rank="1",metric="bleu",dataset="e2e",split="validation"'
  t.equal(samples.get(`dylora_adapter_rank_quality{${labels}}`), point.value)
  t.equal(samples.get(`dylora_adapter_rank_quality{${labels},decoding="num_beams=10"}`), 70)
})

t.test('shows every rank that was asked for in the latency histograms', async (t) => {
  const { scrape, post } = await setup(t)
  const ranks = ['0', '1', '2', '3', '4', '5', '6', '7', '8']
  for (const rank of ranks) await post(`/generate?rank=${rank}`, { inputs, parameters: { max_new_tokens: 4 } })
  const samples = samplesOf(await scrape())
  for (const rank of ranks) {
    t.equal(samples.get(`dylora_request_duration_seconds_count{rank="${rank}"}`), 1)
    t.equal(samples.get(`dylora_time_to_first_token_seconds_count{rank="${rank}"}`), 1)
    t.equal(samples.get(`dylora_inter_token_latency_seconds_count{rank="${rank}"}`), 3)
    t.equal(samples.get(`dylora_generation_tokens_total{adapter="e2e",rank="${rank}"}`), 4)
    const labels = `adapter="e2e",rank="${rank}",outcome="success",finish_reason="length"`
    t.equal(samples.get(`dylora_requests_total{${labels}}`), 1)
  }
  t.equal(samples.get('dylora_queue_time_seconds_count'), ranks.length)
  t.ok((samples.get('dylora_batch_size_count') ?? 0) > 0)
})

t.test('gives the metrics of some names alone', async (t) => {
  const { app, scrape, post } = await setup(t)
  await post('/generate?rank=4', { inputs, parameters: { max_new_tokens: 4 } })
  const of = async (...names: string[]) =>
    samplesOf((await app.inject({ url: '/metrics', query: { name: names } })).body)
  const all = samplesOf(await scrape())
  const some = await of('dylora_requests_running', 'dylora_batch_size', 'dylora_batch_size', 'nothing', 'valueOf')
  const named = [...all].filter(([name]) => /^dylora_(requests_running|batch_size(_\w+)?)($|\{)/.test(name))
  t.same([...some], named)
  t.ok(some.size > 5)
  t.equal((await of('nothing')).size, 0)
  const long = await app.inject({ url: '/metrics', query: { name: 'x'.repeat(201) } })
  t.match(long.json(), { status: 422 })
})

t.test('tells how much of the prompts was known, to readers of vLLM too', async (t) => {
  const { scrape, post } = await setup(t, true)
  const long = `${inputs} near : Café Adriatic and more`
  const ask = async () =>
    (await post('/generate?rank=4', { inputs: long, parameters: { max_new_tokens: 2, details: true } })).json()
  const [{ details: first }, { details: second }] = [await ask(), await ask()]
  t.equal(first.cached_tokens, 0)
  t.ok(second.cached_tokens > 0)
  const samples = samplesOf(await scrape())
  t.equal(samples.get('dylora_prefix_cache_queries_total'), first.prompt_tokens + second.prompt_tokens)
  t.equal(samples.get('dylora_prefix_cache_hits_total'), second.cached_tokens)
  t.ok((samples.get('dylora_prefix_cache_bytes') ?? 0) > 0)
  const hits = [...samples].find(([name]) => name.startsWith('vllm:prefix_cache_hits_total'))
  t.equal(hits?.[1], second.cached_tokens)
})

t.test('counts decisions on the rank, rejections and adapters', async (t) => {
  const { scrape, post, engine } = await setup(t)
  const parameters = { max_new_tokens: 2 }
  await post('/generate?rank=auto', { inputs, parameters })
  await post('/generate', { inputs, parameters })
  await post('/generate?rank=99', { inputs, parameters })
  engine.registry.refuse('broken', new Error('no'))
  const samples = samplesOf(await scrape())
  t.equal(samples.get('dylora_rank_decisions_total{requested="auto",chosen="4",reason="auto"}'), 1)
  t.equal(samples.get('dylora_rank_decisions_total{requested="max",chosen="8",reason="default"}'), 1)
  t.equal(samples.get('dylora_requests_rejected_total{reason="rank_not_allowed"}'), 1)
  t.equal(samples.get('dylora_adapter_load_failures_total{reason="adapter_invalid"}'), 1)
  const digest = engine.registry.get('e2e')?.adapter?.digest
  t.equal(samples.get(`dylora_adapter_loaded{adapter="e2e",digest="${digest}"}`), 1)
  t.ok((samples.get('dylora_adapter_bytes{adapter="e2e"}') ?? 0) > 0)
  engine.registry.remove('e2e')
  t.notMatch(await scrape(), /dylora_(adapter_loaded|adapter_rank_quality)\{adapter="e2e"/)
})

t.test(
  'is well-formed: each metric once, with help and type, counters ending in total, buckets in order',
  async (t) => {
    const { scrape, post } = await setup(t)
    await post('/generate?rank=3', { inputs, parameters: { max_new_tokens: 4 } })
    const text = await scrape()
    t.ok(text.endsWith('\n'))
    const types = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => [name, type] as const)
    t.equal(new Set(types.map(([name]) => name)).size, types.length)
    for (const [name, type] of types.filter(([name]) => name.startsWith('dylora_'))) {
      t.match(text, `# HELP ${name} `)
      t.equal(name.endsWith('_total'), type === 'counter', `${name} is a ${type}`)
    }
    const buckets = [...text.matchAll(/^dylora_request_duration_seconds_bucket\{le="(.+)",rank="3"\} (\d+)$/gm)]
    const bounds = buckets.map(([, bound]) => Number(bound?.replace('+Inf', 'Infinity')))
    t.same(
      bounds,
      bounds.toSorted((a, b) => a - b),
    )
    t.same([bounds[0], bounds.at(-1)], [0.001, Number.POSITIVE_INFINITY])
    const counts = buckets.map(([, , count]) => Number(count))
    t.same(
      counts,
      counts.toSorted((a, b) => a - b),
    )
  },
)

t.test('satisfies promtool, where there is one', async (t) => {
  const { scrape, post } = await setup(t)
  await post('/generate?rank=3', { inputs, parameters: { max_new_tokens: 4 } })
  // The client library's own gauges have names that promtool does not like.
  const input = (await scrape()).replaceAll(/^(# \S+ )?nodejs_active_.*\n/gm, '')
  const { error, status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input, encoding: 'utf8' })
  t.ok(error !== undefined || status === 0, `${stdout}${stderr}`)
})

t.test('gives the gauges of inference gateways only when asked to', async (t) => {
  t.notMatch(await (await setup(t)).scrape(), /vllm:/)
  const { scrape, post, engine } = await setup(t, true)
  const seen = new Promise<string>((resolve) => engine.once('firstToken', () => resolve(scrape())))
  await post('/generate?adapter_id=other', { inputs, parameters: { max_new_tokens: 20 } })
  t.match(await seen, 'running_lora_adapters="other",waiting_lora_adapters=""')
  t.match(await seen, /^vllm:num_requests_running\{model_name="base",engine="0"\} 1$/m)
  for (const name of ['num_requests_waiting', 'kv_cache_usage_perc']) {
    t.match(await seen, new RegExp(`^vllm:${name}\\{model_name="base",engine="0"\\} `, 'm'))
  }
  t.match(await seen, /^vllm:cache_config_info\{model_name="base",engine="0",block_size="64",num_gpu_blocks="0"\} 1$/m)
})

t.test('shows live latency and quality of each rank of an adapter', async (t) => {
  const { app, post } = await setup(t)
  for (let i = 0; i < 3; i++) await post('/generate?rank=2', { inputs, parameters: { max_new_tokens: 4 } })
  const adapter = (await app.inject('/adapters/e2e')).json()
  t.match(adapter, {
    id: 'e2e',
    state: 'serving',
    reason: null,
    is_default: true,
    max_rank: 8,
    auto: { rank: 4, reason: 'auto' },
  })
  t.match(adapter.digest, /^sha256:/)
  t.same(
    adapter.ranks.map(({ rank }: { rank: number }) => rank),
    [0, 1, 2, 3, 4, 5, 6, 7, 8],
  )
  const [, one, two] = adapter.ranks
  t.match(two.latency, { total_ms: { count: 3 }, time_to_first_token_ms: { count: 3 }, inter_token_ms: { count: 9 } })
  const { p50, p90, p99 } = two.latency.total_ms
  t.ok(p50 > 0 && p50 <= p90 && p90 <= p99)
  t.match(one.latency, { total_ms: { count: 0 } })
  t.match(two.quality, [
    { metric: 'bleu', split: 'validation', value: 55, ci95: [54, 56], higher_is_better: true },
    { split: 'test' },
  ])
  t.equal(two.parameters, 2 * one.parameters)
  t.equal(two.bytes, 4 * two.parameters)
})

t.test('lists all adapters, refused ones with the reason', async (t) => {
  const { app, engine } = await setup(t)
  engine.registry.refuse('broken', new Error('its factors are cut off'))
  engine.registry.refuse('other', new Error('its new version is worse'))
  const { adapters } = (await app.inject('/adapters')).json()
  t.match(adapters, [
    { id: 'broken', state: 'refused', reason: 'its factors are cut off', ranks: [], digest: null },
    { id: 'e2e', state: 'serving', reason: null },
    { id: 'other', state: 'serving', reason: 'its new version is worse', max_rank: 3 },
  ])
})

t.test('tells what serves, and whether it is ready', async (t) => {
  let notReady: string | null = 'The adapters are being loaded'
  const { app, base } = await testApp(t, { app: { notReadyBecause: () => notReady } })
  t.match((await app.inject('/ready')).json(), { status: 503, error_type: 'not_ready', detail: notReady })
  t.match(await app.inject('/ready'), { headers: { 'retry-after': /\d/ } })
  t.equal((await app.inject('/health')).statusCode, 200)
  notReady = null
  t.match(await app.inject('/ready'), { statusCode: 200, body: '{"status":"ok"}' })
  t.match((await app.inject('/info')).json(), {
    base_model: { name: base.name, digest: base.digest },
    device: { kind: 'cpu', reason: /./ },
    default_adapter: 'e2e',
    adapters: ['e2e', 'other'],
  })
})
