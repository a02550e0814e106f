import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { metricPoint } from '../../src/evaluation/curve.ts'
import { type MetricName, metrics } from '../../src/evaluation/metrics.ts'
import { greedySampling } from '../../src/inference/request.ts'
import type { ProblemDocument } from '../../src/server/problem.ts'
import { type TestAppOptions, testApp } from '../fixtures/app.ts'

interface Score {
  readonly metric: MetricName
  readonly value: number | null
  readonly ci95: readonly [number, number] | null
  readonly n: number
  readonly higher_is_better: boolean
}

interface Evaluated {
  readonly rank: number
  readonly rank_requested: number | string
  readonly rank_reason: string
  readonly metrics: readonly Score[]
  readonly outputs?: readonly string[]
}

interface Evaluation {
  readonly adapter_id: string | null
  readonly adapter_digest: string | null
  readonly examples: number
  readonly seed: number
  readonly ranks: readonly Evaluated[]
}

const texts = ['name : The Vaults', 'a', 'The quick brown fox', 'x y z']
const examples = texts.map((inputs, i) => ({
  inputs,
  references: [`the ${inputs} of ${i}`, 'stan st e'].slice(0, 1 + (i % 2)),
}))
const parameters = { max_new_tokens: 6 }
const allowed = [0, 1, 2, 3, 4, 5, 6, 7, 8, 'max', 'auto', 'base']

const { engine, post, app } = await testApp(t)

const evaluate = async (query: string, changes: object = {}, body: object = {}) =>
  post(`/evaluate${query}`, { examples, parameters: { ...parameters, ...changes }, ...body })

t.test('gives the metrics of the very texts that the engine gives at each rank', async (t) => {
  const names = Object.keys(metrics) as MetricName[]
  const response = await evaluate('?rank=1,4,max', { metrics: names, details: true, seed: 7 })
  t.equal(response.statusCode, 200)
  const { ranks, ...rest } = response.json<Evaluation>()
  t.same(rest, { adapter_id: 'e2e', adapter_digest: engine.registry.get('e2e')?.adapter?.digest, examples: 4, seed: 7 })
  t.match(ranks, [
    { rank: 1, rank_requested: 1, rank_reason: 'requested' },
    { rank: 4, rank_requested: 4, rank_reason: 'requested' },
    { rank: 8, rank_requested: 'max', rank_reason: 'max' },
  ])
  for (const { rank, metrics: scores, outputs } of ranks) {
    for (const [i, inputs] of texts.entries()) {
      const { text } = await engine.submit({ inputs, rank, maxNewTokens: 6, sampling: greedySampling, stop: [] }).result
      t.equal(outputs?.[i], text.replace(/\s+/g, ' ').trim(), `${rank} ${inputs}`)
    }
    t.same(
      scores.map(({ metric }) => metric),
      names,
    )
    const groups = examples.map(({ inputs, references }) => ({ context: inputs, references }))
    for (const { metric, ...score } of scores) {
      const place = { rank, dataset: '', split: 'test' } as const
      const point = metricPoint(place, metric, outputs ?? [], groups, { primary: false, seed: 7 })
      const { value, ci95, n, higherIsBetter } = point
      t.same(score, { value: Number.isFinite(value) ? value : null, ci95, n, higher_is_better: higherIsBetter }, metric)
    }
  }
  t.equal(new Set(ranks.map(({ outputs }) => JSON.stringify(outputs))).size, 3, 'ranks answer differently')
})

t.test('measures the highest rank on some metrics unless told otherwise, the same each time', async (t) => {
  const [one, two] = [await evaluate(''), await evaluate('', { do_sample: true })]
  const { ranks, seed } = one.json<Evaluation>()
  t.match(ranks, [{ rank: 8, rank_requested: 'max', rank_reason: 'default', outputs: undefined }])
  t.same(
    ranks[0]?.metrics.map(({ metric }) => metric),
    ['bleu', 'nist', 'rouge_l', 'chrf'],
  )
  t.equal(seed, 42)
  t.equal((await evaluate('')).body, one.body)
  t.equal((await evaluate('', { do_sample: true })).body, two.body)
  t.not(two.body, one.body)
})

t.test('decides on ranks as /generate does', async (t) => {
  const asked = (await evaluate('?rank=auto,0,4', { min_quality: 0.9 })).json<Evaluation>()
  t.match(asked.ranks, [
    { rank: 2, rank_requested: 'auto', rank_reason: 'auto' },
    { rank: 0, rank_reason: 'base' },
    { rank: 4 },
  ])
  const same = (await evaluate('?rank=8,max')).json<Evaluation>()
  t.same(same.ranks[0]?.metrics, same.ranks[1]?.metrics)
  t.match((await evaluate('', { rank: [1, 'max'] })).json(), { ranks: [{ rank: 1 }, { rank: 8 }] })
  t.match((await evaluate('?rank=1,max', { rank: [1, 'max'] })).json(), { ranks: [{ rank: 1 }, { rank: 8 }] })
  t.match((await evaluate('', { rank: 'base' })).json(), { ranks: [{ rank: 0 }] })
  t.match((await evaluate('', { adapter_id: 'other' })).json(), { adapter_id: 'other', ranks: [{ rank: 3 }] })
  t.match((await evaluate('?adapter_id=base')).json(), { adapter_id: null, adapter_digest: null, ranks: [{ rank: 0 }] })
})

t.test('refuses every other rank and names what is allowed', async (t) => {
  for (const rank of ['99', '1,99', '', '1,', '1,,4', 'four', '2.5', '-1', '04', 'all', '1&rank=4']) {
    const response = await evaluate(`?rank=${rank}`)
    t.match(response.json(), { status: 422, error_type: 'validation', allowed }, rank)
    t.match(response.headers['content-type'], /^application\/problem\+json/)
  }
  for (const rank of [[], [99], [1, null], [[4]], 2.5, { is: 4 }]) {
    t.match((await evaluate('', { rank })).json(), { status: 422, allowed }, JSON.stringify(rank))
  }
  for (const query of ['?rank=4,4', '?rank=0,base']) t.match((await evaluate(query)).json(), { status: 422, rank: /./ })
  t.match((await evaluate('?rank=1', { rank: [2] })).json(), {
    status: 422,
    errors: [{ pointer: '#/parameters/rank' }],
  })
  t.match((await evaluate('?rank=5&adapter_id=other')).json(), {
    status: 422,
    allowed: [0, 1, 2, 3, 'max', 'auto', 'base'],
  })
  t.match((await evaluate('?adapter_id=nope')).json(), { status: 404, error_type: 'adapter_not_found' })
})

t.test('names every mistake in a body with its pointer', async (t) => {
  const body = {
    examples: [{ inputs: 'x', references: [] }, { inputs: 'x' }, { inputs: 5, references: [' '] }],
    parameters: { metrics: ['blue'], details: true, top_n_tokens: 2, num_beams: 0 },
    rank: 4,
  }
  const { errors, status } = (await post('/evaluate', body)).json<ProblemDocument>()
  t.equal(status, 422)
  t.same(errors?.map(({ pointer }) => pointer).sort(), [
    '#/examples/0/references',
    '#/examples/1/references',
    '#/examples/2/inputs',
    '#/examples/2/references/0',
    '#/parameters/metrics/0',
    '#/parameters/num_beams',
    '#/parameters/top_n_tokens',
    '#/rank',
  ])
  for (const changes of [{ metrics: [] }, { metrics: ['bleu', 'bleu'] }, { length_penalty: 2 }]) {
    t.equal((await evaluate('', changes)).statusCode, 422, JSON.stringify(changes))
  }
  for (const changes of [{ examples: [] }, { examples: null }, { examples: 'x' }]) {
    t.equal((await evaluate('', {}, changes)).statusCode, 422, JSON.stringify(changes))
  }
})

t.test('names the example that can never fit before anything runs', async (t) => {
  let steps = 0
  const count = () => {
    steps += 1
  }
  engine.on('step', count)
  const long = { inputs: 'The quick brown fox jumps over the lazy dog. '.repeat(8), references: ['x'] }
  const response = await evaluate('', {}, { examples: [...examples, long] })
  engine.off('step', count)
  t.match(response.json(), { status: 422, example: 4, pointer: '/examples/4/inputs', positions: 64 })
  t.match(response.json<ProblemDocument>().detail, /^Example 4: The request does not fit/)
  const wide = await evaluate('', { num_beams: 5 })
  t.match(wide.json(), { status: 422, num_beams: 5, detail: /needs 5 places/ })
  t.equal(steps, 0)
})

t.test('is bounded, and names the bound and what was got', async (t) => {
  const evaluation = { maxExamples: 3, maxGenerations: 4, maxReferences: 2 }
  const { post } = await testApp(t, { app: { evaluation } })
  const send = (count: number, query = '', references = ['x']) =>
    post(`/evaluate${query}`, {
      examples: Array.from({ length: count }, () => ({ inputs: 'a', references })),
      parameters,
    })
  const many = await send(4)
  t.match(many.json(), { status: 422, limit: 3, got: 4, detail: 'examples: expected at most 3, got 4' })
  t.match((await send(3, '?rank=1,2')).json(), { status: 422, limit: 4, got: 6, detail: /^examples times ranks/ })
  t.match((await send(1, '', ['x', 'y', 'z'])).json(), {
    status: 422,
    limit: 2,
    got: 3,
    pointer: '/examples/0/references',
  })
  t.equal((await send(2, '?rank=1,2', ['x', 'y'])).statusCode, 200)
  const { post: small } = await testApp(t, { app: { bodyLimitBytes: 1024 } })
  t.match((await small('/evaluate', { examples: [{ inputs: 'x'.repeat(2000), references: ['x'] }] })).json(), {
    status: 413,
  })
})

t.test('scores empty outputs too', async (t) => {
  const names = Object.keys(metrics)
  const blank = engine.submit({ inputs: 'a', rank: 8, maxNewTokens: 1, sampling: greedySampling, stop: [] })
  const { text } = await blank.result
  const stopped = await evaluate(
    '',
    { metrics: names, max_new_tokens: 1, stop: [text], details: true },
    { examples: [{ inputs: 'a', references: ['!'] }] },
  )
  t.equal(stopped.statusCode, 200, stopped.body)
  for (const { value, n } of stopped.json<Evaluation>().ranks[0]?.metrics ?? []) {
    t.ok(value === null || Number.isFinite(value))
    t.equal(n, 1)
  }
})

/** Waits until the condition holds; fails the test when it never does. */
async function eventually(t: Test, condition: () => boolean, message: string): Promise<void> {
  for (let tries = 0; tries < 5000 && !condition(); tries++) await sleep(1)
  t.ok(condition(), message)
}

const busyExamples = Array.from({ length: 40 }, () => ({ inputs: 'name : The Vaults', references: ['x'] }))
const busy = { examples: busyExamples, parameters: { max_new_tokens: 40 } }

async function listening(t: Test, options: TestAppOptions = {}) {
  const tested = await testApp(t, options)
  const url = await tested.app.listen({ port: 0 })
  const send = (path: string, body: unknown, signal?: AbortSignal) =>
    fetch(`${url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      ...(signal && { signal }),
    })
  return { ...tested, send }
}

t.test('live requests are answered while an evaluation has all the slots, and before it', async (t) => {
  const { send, engine } = await listening(t, { engine: { maxBatchSize: 2, maxBackgroundSlots: 2, maxWaiting: 2 } })
  const order: string[] = []
  const evaluation = send('/evaluate?rank=1,8', busy).then(async (response) => {
    order.push('evaluation')
    return (await response.json()) as Evaluation
  })
  await eventually(t, () => engine.stats.kvCacheUsage > 0, 'it runs')
  for (let i = 0; i < 5; i++) {
    const response = await send('/generate', { inputs: 'a', parameters: { max_new_tokens: 3 } })
    t.equal(response.status, 200)
    order.push('live')
  }
  t.ok(engine.stats.background > 0, 'the evaluation still runs')
  const { ranks } = await evaluation
  t.same(order, ['live', 'live', 'live', 'live', 'live', 'evaluation'])
  t.same(
    ranks.map(({ rank }) => rank),
    [1, 8],
  )
})

t.test('one evaluation runs at a time, and its client takes its slots away when it goes', async (t) => {
  const { send, engine } = await listening(t)
  const client = new AbortController()
  const gone = send('/evaluate', busy, client.signal).catch(() => 'gone')
  await eventually(t, () => engine.stats.background > 0, 'it runs')
  const refused = await send('/evaluate', { examples, parameters })
  t.equal(refused.status, 429)
  t.match(refused.headers.get('retry-after'), /^\d+$/)
  t.match(await refused.json(), { error_type: 'overloaded', limit: 1, running: 1 })
  t.equal((await send('/generate', { inputs: 'a', parameters })).status, 200)
  client.abort()
  t.equal(await gone, 'gone')
  await eventually(t, () => engine.stats.background === 0, 'nothing is left')
  t.equal(engine.stats.kvCacheUsage, 0)
  t.equal((await send('/evaluate', { examples, parameters })).status, 200, 'the next one runs')
})

t.test('an adapter that is replaced or removed meanwhile gives no mixed numbers', async (t) => {
  const { send, engine, adapter } = await listening(t)
  const { randomAdapter } = await import('../fixtures/adapters.ts')
  const evaluation = send('/evaluate', busy)
  await eventually(t, () => engine.stats.background > 0, 'it runs')
  await engine.registry.add(await adapter('e2e', randomAdapter(9, 8)))
  const response = await evaluation
  t.equal(response.status, 422)
  t.match(await response.json(), { error_type: 'adapter_invalid', detail: /replaced while it was evaluated/ })
  await eventually(t, () => engine.stats.background === 0, 'its other generations are given up')
})

t.test('shutting down ends it at once', async (t) => {
  const { send, engine } = await listening(t)
  const evaluation = send('/evaluate', busy)
  await eventually(t, () => engine.stats.background > 0, 'it runs')
  const drained = engine.drain()
  t.match(await (await evaluation).json(), { status: 503, error_type: 'not_ready' })
  await drained
  t.equal(engine.stats.background, 0)
})

t.test('is counted apart from live requests', async (t) => {
  const { post, app } = await testApp(t)
  await post('/evaluate?rank=1,8,max', { examples, parameters })
  await post('/evaluate?rank=99', { examples, parameters })
  await post('/generate?rank=1', { inputs: 'a', parameters })
  const lines = (await app.inject('/metrics')).body.split('\n')
  for (const line of [
    'dylora_evaluation_requests_total{outcome="success"} 1',
    'dylora_evaluation_requests_total{outcome="rank_not_allowed"} 1',
    'dylora_evaluation_requests_running 0',
    'dylora_evaluation_examples_total{adapter="e2e",rank="1"} 4',
    'dylora_evaluation_examples_total{adapter="e2e",rank="8"} 4',
    'dylora_evaluation_generation_tokens_total{adapter="e2e",rank="1"} 24',
    'dylora_evaluation_duration_seconds_count 1',
    'dylora_request_duration_seconds_count{rank="1"} 1',
    'dylora_time_to_first_token_seconds_count{rank="1"} 1',
    'dylora_queue_time_seconds_count 1',
    'dylora_generation_tokens_total{adapter="e2e",rank="1"} 6',
  ]) {
    t.ok(lines.includes(line), line)
  }
  t.notOk(lines.some((line) => /^dylora_(request|inter|time|rank_decisions|requests).*"8"/.test(line)))
  const { ranks } = (await app.inject('/adapters/e2e')).json()
  t.match(ranks[8], { latency: { total_ms: { count: 0 }, inter_token_ms: { count: 0 } } })
})

t.test('says in the document what is sent and given', async (t) => {
  const { paths, components } = app.swagger() as unknown as {
    paths: Record<string, { post: { requestBody: object; responses: Record<string, object> } }>
    components: { schemas: Record<string, { examples?: { parameters: object }[] }> }
  }
  t.same(Object.keys(paths['/evaluate']?.post.responses ?? {}), [
    '200',
    '400',
    '401',
    '403',
    '404',
    '413',
    '415',
    '422',
    '429',
    '500',
    '503',
  ])
  const [example] = components.schemas.EvaluateInput?.examples ?? []
  // The tiny model has no positions for texts as long as the example's.
  const response = await post('/evaluate', { ...example, parameters: { ...example?.parameters, max_new_tokens: 8 } })
  t.equal(response.statusCode, 200, response.body)
})
