import t from 'tap'
import { greedySampling } from '../../src/inference/request.ts'
import type { Generation, StreamEvent } from '../../src/server/generate-reply.ts'
import type { ProblemDocument } from '../../src/server/problem.ts'
import { inputs, sseObjects, testApp } from '../fixtures/app.ts'

const { app, engine, post } = await testApp(t)

const parameters = { max_new_tokens: 6, details: true }
const allowed = [0, 1, 2, 3, 4, 5, 6, 7, 8, 'max', 'auto', 'base']

t.test('answers at the rank that the query asks for, and says so', async (t) => {
  const ranks = { '1': 1, '4': 4, '8': 8, max: 8, auto: 4, '0': 0, base: 0 }
  for (const [rank, used] of Object.entries(ranks)) {
    const response = await post(`/generate?rank=${rank}`, { inputs, parameters })
    t.equal(response.statusCode, 200, rank)
    const { generated_text, details } = response.json<Generation>()
    t.type(generated_text, 'string')
    t.match(details, { rank: used, adapter_id: 'e2e', generated_tokens: 6, finish_reason: 'length' })
    t.match(response.headers, { 'x-adapter-id': 'e2e', 'x-adapter-rank': String(used), 'x-generated-tokens': '6' })
  }
})

t.test('takes the rank from the body too, and the highest when there is none', async (t) => {
  const inBody = await post('/generate', { inputs, parameters: { ...parameters, rank: 2 } })
  t.match(inBody.json(), { details: { rank: 2, rank_requested: 2, rank_reason: 'requested' } })
  const both = await post('/generate?rank=2', { inputs, parameters: { ...parameters, rank: 2 } })
  t.match(both.json(), { details: { rank: 2 } })
  const none = await post('/generate', { inputs, parameters })
  t.match(none.json(), { details: { rank: 8, rank_requested: 'max', rank_reason: 'default' } })
})

t.test('gives the text of the engine at that rank, with its log-probabilities', async (t) => {
  for (const rank of [0, 3, 8]) {
    const alone = await engine.submit({ inputs, rank, maxNewTokens: 6, sampling: greedySampling, stop: [] }).result
    const { generated_text, details } = (
      await post(`/generate?rank=${rank}`, { inputs, parameters })
    ).json<Generation>()
    t.equal(generated_text, alone.text)
    t.same(details?.tokens, alone.tokens)
    t.equal(details?.adapter_digest, alone.adapterDigest)
  }
})

t.test('refuses every other rank, and names what is allowed', async (t) => {
  for (const rank of ['99', '-1', 'four', '', '2.5', '04', '1e0', '9', '%F0%9F%98%80']) {
    const response = await post(`/generate?rank=${rank}`, { inputs })
    t.equal(response.statusCode, 422, rank)
    t.match(response.json(), {
      status: 422,
      error_type: 'validation',
      type: 'urn:dylora:problem:rank-not-allowed',
      allowed,
    })
    t.match(response.json<ProblemDocument>().detail, /expected one of 0, 1, .* auto/)
  }
  for (const rank of [99, -1, 2.5, 'four', [4], { is: 4 }, true]) {
    const response = await post('/generate', { inputs, parameters: { rank } })
    t.match(response.json(), { status: 422, allowed }, JSON.stringify(rank))
  }
})

t.test('refuses a rank that is given twice, and one that contradicts the body', async (t) => {
  t.match((await post('/generate?rank=4&rank=4', { inputs })).json(), { status: 422, allowed })
  const contradiction = await post('/generate?rank=4', { inputs, parameters: { rank: 3 } })
  t.match(contradiction.json(), { status: 422, allowed, errors: [{ pointer: '#/parameters/rank' }] })
})

t.test('serves the adapter that is asked for, with the ranks of that one', async (t) => {
  const byQuery = await post('/generate?adapter_id=other', { inputs, parameters })
  t.match(byQuery.json(), { details: { adapter_id: 'other', rank: 3 } })
  const byBody = await post('/generate', { inputs, parameters: { ...parameters, adapter_id: 'other' } })
  t.match(byBody.json(), { details: { adapter_id: 'other', rank: 3 } })
  const tooHigh = await post('/generate?adapter_id=other&rank=8', { inputs })
  t.match(tooHigh.json(), { status: 422, allowed: [0, 1, 2, 3, 'max', 'auto', 'base'] })
})

t.test('says no curve where auto has nothing to go by', async (t) => {
  const response = await post('/generate?adapter_id=other&rank=auto', { inputs, parameters })
  t.match(response.json(), { details: { rank: 3, rank_requested: 'auto', rank_reason: 'no_curve' } })
})

t.test('lets min_quality decide what auto takes', async (t) => {
  for (const [min_quality, rank] of [
    [1, 8],
    [0.9, 2],
    [0.5, 1],
  ]) {
    const response = await post('/generate?rank=auto', { inputs, parameters: { ...parameters, min_quality } })
    t.match(response.json(), { details: { rank, rank_reason: 'auto' } })
  }
})

t.test('knows no other adapter, whatever the rank', async (t) => {
  for (const query of ['adapter_id=nope', 'adapter_id=nope&rank=four', 'adapter_id=nope&rank=0']) {
    const response = await post(`/generate?${query}`, { inputs })
    t.match(response.json(), { status: 404, error_type: 'adapter_not_found', known: ['base', 'e2e', 'other'] })
  }
})

t.test('tells broken JSON from a wrong body', async (t) => {
  const send = (payload: string) =>
    app.inject({ method: 'POST', url: '/generate', payload, headers: { 'content-type': 'application/json' } })
  for (const payload of ['{', '{"inputs":', '', 'inputs', "{'inputs':'x'}"]) {
    t.equal((await send(payload)).statusCode, 400, payload)
  }
  for (const payload of ['[]', 'null', '5', '"x"', '{}', '{"inputs":5}', '{"inputs":"x","__proto__":{"a":1}}']) {
    const response = await send(payload)
    t.equal(response.statusCode, 422, payload)
    t.match(response.headers['content-type'], /^application\/problem\+json/)
  }
})

t.test('names every mistake in a body with its pointer', async (t) => {
  const body = { inputs, model: 'x', parameters: { top_p: 2, best_of: 0, max_tokens: 5, 'a/b': 1 } }
  const { errors } = (await post('/generate', body)).json<ProblemDocument>()
  const pointers = errors?.map(({ pointer }) => pointer).sort()
  t.same(pointers, [
    '#/model',
    '#/parameters/a~1b',
    '#/parameters/best_of',
    '#/parameters/max_tokens',
    '#/parameters/top_p',
  ])
})

t.test('answers a body of a thousand mistakes with a short list', async (t) => {
  const body = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`key-${index}`, 1]))
  const response = await post('/generate', { inputs, ...body, ['k'.repeat(10_000)]: 1 })
  t.equal(response.statusCode, 422)
  t.ok(response.body.length < 20_000)
})

t.test('refuses a prompt that can never fit', async (t) => {
  const long = await post('/generate', { inputs, parameters: { max_new_tokens: 64 } })
  t.match(long.json(), { status: 422, error_type: 'validation', positions: 64 })
})

t.test('tells the tokens of the prompt', async (t) => {
  const response = await post('/generate?rank=2', {
    inputs,
    parameters: { max_new_tokens: 2, decoder_input_details: true },
  })
  const { details } = response.json<Generation>()
  t.equal(details?.prefill.length, details?.prompt_tokens)
  t.equal(details?.prefill.map(({ text }) => text).join(''), inputs)
  t.equal(details?.prefill[0]?.logprob, null)
  t.ok(details?.prefill.slice(1).every(({ logprob }) => (logprob ?? 1) < 0))
  t.equal(response.headers['x-prompt-tokens'], String(details?.prompt_tokens))
})

t.test('tells the likeliest tokens at each step', async (t) => {
  const { details } = (
    await post('/generate', { inputs, parameters: { ...parameters, top_n_tokens: 3 } })
  ).json<Generation>()
  t.same(
    details?.top_tokens?.map(({ length }) => length),
    [3, 3, 3, 3, 3, 3],
  )
  t.same(
    details?.top_tokens?.map(([best]) => best?.id),
    details?.tokens.map(({ id }) => id),
  )
})

t.test('leaves details out unless asked for them', async (t) => {
  t.same(Object.keys((await post('/generate', { inputs, parameters: { max_new_tokens: 2 } })).json()), [
    'generated_text',
  ])
})

t.test('puts the prompt before the text when asked to', async (t) => {
  const { generated_text } = (await post('/generate', { inputs, parameters })).json<Generation>()
  const full = await post('/generate', { inputs, parameters: { ...parameters, return_full_text: true } })
  t.equal(full.json<Generation>().generated_text, inputs + generated_text)
})

t.test('ends at a stop text, and says so', async (t) => {
  const { generated_text } = (await post('/generate', { inputs, parameters })).json<Generation>()
  const stop = [generated_text.slice(1, 3)]
  const response = await post('/generate', { inputs, parameters: { ...parameters, stop } })
  t.match(response.json(), { details: { finish_reason: 'stop_sequence' } })
  t.ok(response.json<Generation>().generated_text.length < generated_text.length)
})

t.test('gives the same text for the same seed, and tells a seed that it drew itself', async (t) => {
  const sampled = { max_new_tokens: 12, details: true, do_sample: true, temperature: 2 }
  const first = (await post('/generate', { inputs, parameters: sampled })).json<Generation>()
  const seed = first.details?.seed
  t.type(seed, 'number')
  const again = (await post('/generate', { inputs, parameters: { ...sampled, seed } })).json<Generation>()
  t.equal(again.generated_text, first.generated_text)
})

t.test('searches with beams, and tells the score of the text that it chose', async (t) => {
  const search = { ...parameters, num_beams: 4, length_penalty: 0.8, no_repeat_ngram_size: 2 }
  const { generated_text, details } = (
    await post('/generate?rank=3', { inputs, parameters: search })
  ).json<Generation>()
  const alone = await engine.submit({
    ...{ inputs, rank: 3, maxNewTokens: 6, stop: [] },
    sampling: { ...greedySampling, noRepeatNgramSize: 2 },
    beamSearch: { beams: 4, lengthPenalty: 0.8, earlyStopping: false },
  }).result
  t.equal(generated_text, alone.text)
  t.match(details, { score: alone.score, seed: null, tokens: alone.tokens })
  t.notOk(details && 'best_of_sequences' in details)
  const few = await post('/generate', { inputs, parameters: { num_beams: 40 } })
  t.match(few.json(), { status: 422, detail: /num_beams 40 needs 40 places in the batch, there are 16/, num_beams: 40 })
  const sampled = await post('/generate', { inputs, parameters: { num_beams: 2, do_sample: true } })
  t.match(sampled.json(), { status: 422, pointer: '/parameters/num_beams' })
})

t.test('gives the likeliest of several sampled texts, and the others in the details', async (t) => {
  const sampled = { ...parameters, temperature: 1.5, seed: 5 }
  const { generated_text, details } = (
    await post('/generate', { inputs, parameters: { ...sampled, best_of: 4, top_n_tokens: 2 } })
  ).json<Generation>()
  const others = details?.best_of_sequences ?? []
  const texts = [{ ...details, generated_text }, ...others]
  t.same(texts.map(({ seed }) => seed).toSorted(), [5, 6, 7, 8])
  for (const { seed, generated_text, score, tokens } of texts) {
    const alone = (await post('/generate', { inputs, parameters: { ...sampled, seed } })).json<Generation>()
    t.equal(generated_text, alone.generated_text, `the text of seed ${seed}`)
    const mean = (tokens ?? []).reduce((sum, { logprob }) => sum + (logprob ?? 0), 0) / (tokens?.length ?? 0)
    t.ok(Math.abs((score ?? 0) - mean) < 1e-9)
  }
  t.same(
    texts.map(({ score }) => score),
    texts.map(({ score }) => score ?? 0).toSorted((a, b) => b - a),
  )
  t.ok(others.every(({ top_tokens }) => top_tokens?.every(({ length }) => length === 2)))
  const greedy = await post('/generate', { inputs, parameters: { best_of: 2 } })
  t.match(greedy.json(), { status: 422, detail: /best_of: expected sampling/ })
})

t.test('writes what the grammar says, and refuses one that cannot be followed before it waits', async (t) => {
  const body = (grammar: unknown, more = {}) => ({ inputs: 'a', parameters: { max_new_tokens: 40, grammar, ...more } })
  const schema = {
    type: 'object',
    properties: { ok: { type: 'boolean' } },
    required: ['ok'],
    additionalProperties: false,
  }
  for (const value of [schema, JSON.stringify(schema)]) {
    const reply = await post('/generate?rank=4', body({ type: 'json', value }))
    t.type((JSON.parse(reply.json<Generation>().generated_text) as { ok: boolean }).ok, 'boolean')
  }
  const streamed = await post('/generate_stream', body({ type: 'regex', value: '(yes|no) \\d' }))
  t.match(sseObjects<StreamEvent>(streamed.body).at(-1)?.generated_text, /^(yes|no) \d$/)
  const bad = await post('/generate', body({ type: 'regex', value: '([' }))
  t.equal(bad.statusCode, 422)
  t.match(bad.json<ProblemDocument>(), { detail: /can be followed: Regex parsing error/ })
  t.match(bad.body, '/parameters/grammar')
  const beams = await post('/generate', body({ type: 'regex', value: 'a' }, { num_beams: 2 }))
  t.match(beams.json<ProblemDocument>(), { status: 422, detail: /follows no grammar/ })
  t.equal((await post('/generate', body({ type: 'choice', value: ['a'] }))).statusCode, 422)
})

t.test('keeps only the last tokens of a prompt when told to truncate', async (t) => {
  const response = await post('/generate', { inputs, parameters: { ...parameters, truncate: 3 } })
  t.match(response.json(), { details: { prompt_tokens: 3 } })
})

t.test('streams the same text, one event a token, the last with the details', async (t) => {
  const whole = (await post('/generate?rank=4', { inputs, parameters })).json<Generation>()
  const bodies = {
    '/generate_stream?rank=4': { inputs, parameters },
    '/generate?rank=4': { inputs, parameters, stream: true },
  }
  for (const [url, body] of Object.entries(bodies)) {
    const response = await post(url, body)
    t.equal(response.headers['content-type'], 'text/event-stream')
    t.match(response.headers, { 'x-adapter-id': 'e2e', 'x-adapter-rank': '4', 'x-request-id': /.+/ })
    const events = sseObjects<StreamEvent>(response.body)
    t.same(
      events.map(({ index }) => index),
      [0, 1, 2, 3, 4, 5],
    )
    t.same(
      events.map(({ token }) => token.id),
      whole.details?.tokens.map(({ id }) => id),
    )
    t.equal(events.map(({ token }) => token.text).join(''), whole.generated_text)
    for (const { generated_text, details } of events.slice(0, -1)) t.same([generated_text, details], [null, null])
    t.match(events.at(-1), {
      generated_text: whole.generated_text,
      details: { rank: 4, finish_reason: 'length', generated_tokens: 6 },
    })
  }
})

t.test('refuses a stream with the status of a plain request', async (t) => {
  t.equal((await post('/generate_stream?rank=99', { inputs })).statusCode, 422)
  t.equal((await post('/generate_stream?adapter_id=nope', { inputs })).statusCode, 404)
  const prefill = await post('/generate_stream', { inputs, parameters: { decoder_input_details: true } })
  t.match(prefill.json(), { status: 422, detail: /decoder_input_details/ })
  for (const parameters of [{ num_beams: 2 }, { best_of: 2, do_sample: true }]) {
    const response = await post('/generate_stream', { inputs, parameters })
    t.match(response.json(), { status: 422, detail: /is not streamed/, pointer: /^\/parameters\// })
  }
})

t.test('keeps a harmless request id of the caller, and makes one otherwise', async (t) => {
  const send = (id: string) => app.inject({ url: '/health', headers: { 'x-request-id': id } })
  t.equal((await send('trace-42')).headers['x-request-id'], 'trace-42')
  for (const id of ['a b', 'x'.repeat(200), '"']) t.match((await send(id)).headers['x-request-id'], /^[0-9a-f-]{36}$/)
})

t.test('tells what no route answers: wrong methods, wrong addresses, wrong media types', async (t) => {
  t.match(await app.inject('/generate'), { statusCode: 405, headers: { allow: 'POST, OPTIONS' } })
  t.match(await app.inject({ method: 'DELETE', url: '/adapters/e2e' }), { statusCode: 405, headers: { allow: /GET/ } })
  t.match(await app.inject({ method: 'OPTIONS', url: '/generate?rank=4' }), {
    statusCode: 204,
    headers: { allow: 'POST, OPTIONS' },
  })
  t.match((await app.inject('/nothing')).json(), { status: 404, error_type: 'validation' })
  t.match((await app.inject('/adapters/nothing')).json(), { status: 404, error_type: 'adapter_not_found' })
  t.equal((await app.inject('/adapters/%E0%A4%A')).statusCode, 400)
  t.equal((await app.inject({ method: 'HEAD', url: '/health' })).statusCode, 200)
  const form = {
    method: 'POST',
    url: '/generate',
    payload: 'inputs=x',
    headers: { 'content-type': 'text/plain' },
  } as const
  t.match((await app.inject(form)).json(), { status: 415 })
})

t.test('sends visitors to the documentation, which loads', async (t) => {
  t.match(await app.inject('/'), { statusCode: 302, headers: { location: '/docs' } })
  t.match(await app.inject('/docs/'), { statusCode: 200, headers: { 'content-type': /html/ } })
  t.match((await app.inject('/openapi.json')).json(), { openapi: /^3\.1/, paths: { '/generate': {} } })
})
