import { setTimeout as sleep } from 'node:timers/promises'
import { InferenceClient } from '@huggingface/inference'
import OpenAI from 'openai'
import t from 'tap'
import { parseChatTemplate } from '../../../src/dylora/chat-template.ts'
import { greedySampling } from '../../../src/inference/request.ts'
import { inputs as prompt, testApp } from '../../fixtures/app.ts'

const chatTemplate = parseChatTemplate(
  '{% for m in messages %}{{ m.role }} : {{ m.content }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}!{% endif %}',
  { eos_token: '\n' },
  (reason) => new Error(reason),
)
const { app, engine, post } = await testApp(t, { app: { chatTemplate } })
const url = await app.listen({ port: 0 })
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 })
const user = (content: string) => [{ role: 'user' as const, content }]
const greedy = { temperature: 0, max_tokens: 6 }

/** What this server adds to the objects of the client. */
const servedBy = (reply: object) => (reply as { dylora: object }).dylora

/** The text of the engine at a rank, in its own words. */
const textAt = async (rank: number, inputs = prompt) =>
  (await engine.submit({ inputs, rank, maxNewTokens: 6, sampling: greedySampling, stop: [] }).result).text

const failureOf = (request: Promise<unknown>) =>
  request.then(
    () => null,
    ({ status, code, param, type, message }) => ({ status, code, param, type, message }),
  )

t.test('lists the base and its adapters, and finds each by name', async (t) => {
  const listed = []
  for await (const model of client.models.list()) listed.push(model)
  t.match(listed, [
    { id: 'base', object: 'model', parent: null },
    { id: 'e2e', parent: 'base', dylora: { ranks: [1, 2, 3, 4, 5, 6, 7, 8], is_default: true } },
    { id: 'other', parent: 'base' },
  ])
  t.match(await client.models.retrieve('e2e:r4'), { id: 'e2e:r4', max_model_len: 65 })
  t.match(await failureOf(client.models.retrieve('nope')), { status: 404, code: 'model_not_found', param: 'model' })
  t.match(await failureOf(client.models.retrieve('e2e:r9')), { status: 400, code: 'rank_not_allowed' })
})

t.test('gives the text of the engine at the rank in the name, or in the field', async (t) => {
  for (const [model, rank, used] of [
    ['e2e', undefined, 8],
    ['e2e:r4', undefined, 4],
    ['e2e', 3, 3],
    ['e2e:r2', 2, 2],
    ['e2e:auto', undefined, 4],
    ['e2e', 'base', 0],
  ] as const) {
    const reply = await client.completions.create({ model, prompt, ...greedy, ...{ rank } })
    t.match(reply, {
      object: 'text_completion',
      model,
      choices: [{ text: await textAt(used), finish_reason: 'length' }],
    })
    t.match(servedBy(reply), { adapter_id: 'e2e', rank: used })
    const { prompt_tokens = 0, total_tokens } = reply.usage ?? {}
    t.match(reply.usage, { completion_tokens: 6 })
    t.equal(total_tokens, prompt_tokens + 6)
  }
})

t.test('refuses what it does not have, in the words of OpenAI', async (t) => {
  const complete = (body: object) =>
    failureOf(client.completions.create({ model: 'e2e', prompt, ...body } as OpenAI.CompletionCreateParamsNonStreaming))
  const chat = (body: object) =>
    failureOf(
      client.chat.completions.create({
        model: 'e2e',
        messages: user(prompt),
        ...body,
      } as OpenAI.ChatCompletionCreateParamsNonStreaming),
    )
  const bad = { status: 400, type: 'invalid_request_error' }
  t.match(await complete({ model: 'nope' }), {
    status: 404,
    code: 'model_not_found',
    param: 'model',
    message: /base, e2e/,
  })
  t.match(await complete({ model: 'nope:r4' }), { status: 404 })
  t.match(await complete({ model: 'e2e:rabbit' }), { status: 404 })
  t.match(await complete({ model: 'e2e:r99' }), {
    ...bad,
    code: 'rank_not_allowed',
    param: 'rank',
    message: /0, 1, .*auto/,
  })
  t.match(await complete({ rank: 'four' }), { ...bad, code: 'rank_not_allowed' })
  t.match(await complete({ model: 'e2e:r4', rank: 3 }), { ...bad, param: 'rank' })
  t.match(await complete({ max_tokens: 1000 }), { ...bad, param: 'max_tokens', message: /does not fit/ })
  t.match(await complete({ max_tokens: 0 }), { ...bad, param: 'max_tokens' })
  t.match(await complete({ top_p: 2 }), { ...bad, param: 'top_p', code: 'validation' })
  t.match(await complete({ n: 3, best_of: 2 }), { ...bad, param: 'best_of' })
  t.match(await complete({ n: 1, best_of: 2, stream: true }), { ...bad, param: 'best_of', message: /not streamed/ })
  t.match(await complete({ prompt: [1, 100_000] }), { ...bad, param: 'prompt', message: /token ids/ })
  t.match(await complete({ prompt: Array.from({ length: 65 }, () => 'x'), n: 2 }), { ...bad, message: /130 texts/ })
  t.match(await complete({ logit_bias: { 5: 1 } }), { ...bad, param: 'logit_bias', message: /not implemented/ })
  t.match(await chat({ tools: [{ type: 'function', function: { name: 'x' } }] }), { ...bad, param: 'tools' })
  t.match(await chat({ messages: [{ role: 'tool', content: 'x' }] }), { ...bad, param: 'messages[0].role' })
  t.match(await chat({ messages: [] }), { ...bad, param: 'messages' })
  t.match(await chat({ top_logprobs: 2 }), { ...bad, param: 'top_logprobs' })
  t.match(await failureOf(client.post('/nothing', { body: {} })), { status: 404, code: 'route_not_found' })
  t.match(await failureOf(client.get('/completions')), { status: 405, code: 'method_not_allowed' })
  t.equal(engine.stats.running + engine.stats.waiting, 0)
})

t.test('ignores fields that it does not know, as the servers do that these clients know', async (t) => {
  const body = { model: 'e2e', prompt, ...greedy, user: 'me', metadata: { a: 'b' }, whatever: [1], logit_bias: {} }
  t.match(await client.completions.create(body as OpenAI.CompletionCreateParamsNonStreaming), {
    choices: [{ text: await textAt(8) }],
  })
})

t.test('writes JSON of a schema, any object, or a match of an expression', async (t) => {
  const schema = { type: 'object', properties: { n: { enum: [1, 2] } }, required: ['n'], additionalProperties: false }
  const ask = async (response_format: OpenAI.ChatCompletionCreateParams['response_format']) => {
    const asked = {
      model: 'e2e:r2',
      messages: user('a'),
      max_tokens: 40,
      seed: 3,
      ...(response_format && { response_format }),
    }
    return (await client.chat.completions.create(asked)).choices[0]
  }
  const reply = await ask({ type: 'json_schema', json_schema: { name: 'n', schema } })
  t.match(JSON.parse(reply?.message.content ?? ''), { n: /[12]/ })
  t.equal(reply?.finish_reason, 'stop')
  t.match((await ask({ type: 'json_object' }))?.message.content, /^\{/)
  const outputs = { structured_outputs: { regex: '[ab]{3}' } }
  t.match((await client.completions.create({ model: 'e2e', prompt, ...outputs })).choices[0]?.text, /^[ab]{3}$/)
  t.match(await failureOf(ask({ type: 'json_schema', json_schema: { name: 'n', schema: { type: 'wat' } } })), {
    status: 400,
    message: /Unsupported type/,
    param: /response_format/,
  })
})

t.test('makes a prompt of chat messages by the template', async (t) => {
  const messages = [
    { role: 'developer', content: 'be brief' },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'a' },
        { type: 'text', text: 'b' },
      ],
    },
  ]
  const reply = await client.chat.completions.create({
    model: 'e2e',
    messages,
    ...greedy,
  } as OpenAI.ChatCompletionCreateParamsNonStreaming)
  t.match(reply, {
    object: 'chat.completion',
    choices: [
      {
        message: { role: 'assistant', content: await textAt(8, 'system : be brief\nuser : a\nb\n!') },
        finish_reason: 'length',
      },
    ],
  })
  const rest = await client.chat.completions.create({ model: 'base', messages: user('x'), temperature: 0 })
  t.equal(rest.usage?.total_tokens, rest.choices[0]?.finish_reason === 'length' ? 65 : rest.usage?.total_tokens)
})

t.test('streams every text of n, equal to those that come in one piece', async (t) => {
  const body = { model: 'e2e:r4', messages: user(prompt), n: 3, seed: 7, max_completion_tokens: 9, stop: 'e' }
  const whole = await client.chat.completions.create(body)
  t.equal(new Set(whole.choices.map(({ message }) => message.content)).size, 3)
  const texts = ['', '', '']
  const endings: unknown[] = []
  let usage: unknown
  for await (const chunk of await client.chat.completions.create({
    ...body,
    stream: true,
    stream_options: { include_usage: true },
  })) {
    t.match(chunk, { object: 'chat.completion.chunk', model: 'e2e:r4' })
    for (const { index, delta, finish_reason } of chunk.choices) {
      texts[index] += delta.content ?? ''
      if (finish_reason !== null) endings[index] = finish_reason
    }
    if (chunk.choices.length === 0) usage = chunk.usage
    else t.equal(chunk.usage, null)
  }
  t.same(
    texts,
    whole.choices.map(({ message }) => message.content),
  )
  t.same(
    endings,
    whole.choices.map(({ finish_reason }) => finish_reason),
  )
  t.same(usage, whole.usage)
})

t.test('text i of a seed is what the seed + i gives alone, also among several prompts', async (t) => {
  const one = async (seed: number, text: string) =>
    (await client.completions.create({ model: 'e2e', prompt: text, seed, max_tokens: 6 })).choices[0]?.text
  const { choices, usage } = await client.completions.create({
    model: 'e2e',
    prompt: ['a', prompt],
    n: 2,
    seed: 3,
    max_tokens: 6,
  })
  const alone = [await one(3, 'a'), await one(4, 'a'), await one(3, prompt), await one(4, prompt)]
  t.same(
    choices.map(({ text }) => text),
    alone,
  )
  t.same(
    choices.map(({ index }) => index),
    [0, 1, 2, 3],
  )
  t.ok((usage?.completion_tokens ?? 0) > 4)
  const best = await client.completions.create({ model: 'e2e', prompt, n: 2, best_of: 4, seed: 3, max_tokens: 6 })
  t.equal(best.choices.length, 2)
  const all = [3, 4, 5, 6].map((seed) => one(seed, prompt))
  for (const { text } of best.choices) t.ok((await Promise.all(all)).includes(text))
})

t.test('tells log-probabilities in the shapes of both routes', async (t) => {
  const whole = await client.completions.create({
    model: 'e2e',
    prompt: ['Café x', 'y'],
    ...greedy,
    logprobs: 2,
    echo: true,
  })
  const { tokens, token_logprobs, top_logprobs, text_offset } = whole.choices[0]?.logprobs ?? {}
  t.equal(whole.choices[0]?.text.startsWith('Café x'), true)
  t.equal(tokens?.length, token_logprobs?.length)
  t.same([token_logprobs?.[0], top_logprobs?.[0]], [null, null])
  const text = [...(whole.choices[0]?.text ?? '')]
  for (const [i, token] of (tokens ?? []).entries()) {
    // What a random model says after the prompt need not be UTF-8.
    if (i < 4 && !token.includes('\uFFFD')) t.ok(text.slice(text_offset?.[i]).join('').startsWith(token), token)
    if (i > 0) t.ok((token_logprobs?.[i] ?? 1) <= 0 && token in (top_logprobs?.[i] ?? {}))
  }
  const scored = await client.completions.create({
    model: 'e2e',
    prompt: 'Café x',
    max_tokens: 0,
    echo: true,
    logprobs: 2,
  })
  t.match(scored.choices[0], { text: 'Café x', finish_reason: 'length' })
  t.same(scored.choices[0]?.logprobs?.token_logprobs, token_logprobs?.slice(0, -6))
  const chat = { model: 'e2e', messages: user(prompt), ...greedy, logprobs: true, top_logprobs: 2 }
  const content = (await client.chat.completions.create(chat)).choices[0]?.logprobs?.content ?? []
  t.equal(content.length, 6)
  for (const { token, bytes, logprob, top_logprobs: top } of content) {
    if (!token.includes('\uFFFD')) t.equal(Buffer.from(bytes ?? []).toString(), token)
    t.match(top, [{ token, logprob }, { logprob: Number }])
  }
  const streamed = []
  for await (const { choices } of await client.chat.completions.create({ ...chat, stream: true })) {
    streamed.push(...(choices[0]?.logprobs?.content ?? []))
  }
  t.same(streamed, content)
})

t.test('takes token ids, echoes their text, and streams it first', async (t) => {
  const ids = engine.tokenizer.encode(prompt)
  const body = { model: 'e2e', prompt: ids, ...greedy, echo: true }
  t.equal((await client.completions.create(body)).choices[0]?.text, prompt + (await textAt(8)))
  let text = ''
  for await (const { choices } of await client.completions.create({ ...body, stream: true })) text += choices[0]?.text
  t.equal(text, prompt + (await textAt(8)))
  t.match(await client.completions.create({ model: 'base', prompt: '', ...greedy }), { usage: { prompt_tokens: 1 } })
})

t.test('ends every text of a request whose client goes away', async (t) => {
  const outcomes: string[] = []
  const count = ({ outcome }: { outcome: string }) => outcomes.push(outcome)
  engine.on('finished', count)
  const stream = await client.completions.create({
    model: 'e2e',
    prompt: ['a', 'b'],
    n: 2,
    max_tokens: 60,
    temperature: 0,
    stream: true,
  })
  for await (const _ of stream) break
  for (let tries = 0; tries < 2000 && outcomes.length < 4; tries++) await sleep(1)
  engine.off('finished', count)
  t.equal(outcomes.length, 4)
  t.ok(outcomes.includes('cancelled'))
})

t.test('says that it is full with 429, and keeps none of the texts', async (t) => {
  const full = await testApp(t, { engine: { maxBatchSize: 1, maxWaiting: 2 } })
  const reply = await full.post('/v1/completions', { model: 'e2e', prompt: 'x', n: 3 })
  t.equal(reply.statusCode, 429)
  t.match(reply.headers, { 'retry-after': '1' })
  t.match(reply.json(), { error: { type: 'rate_limit_error', code: 'rate_limit_exceeded' } })
  t.match((await full.post('/v1/completions', { model: 'e2e', prompt: 'x', n: 2, max_tokens: 2 })).json(), {
    choices: [{}, {}],
  })
  t.match((await full.post('/v1/chat/completions', { messages: user('x') })).json(), {
    error: { message: /no chat template/, type: 'invalid_request_error', param: 'messages' },
  })
})

t.test('ends each stream with [DONE], with a blank after data:', async (t) => {
  const { payload, headers } = await post('/v1/completions', { prompt, ...greedy, stream: true })
  t.match(headers, { 'content-type': 'text/event-stream', 'x-adapter-rank': '8' })
  t.ok(payload.endsWith('data: [DONE]\n\n'))
  t.ok(
    payload
      .split('\n\n')
      .slice(0, -2)
      .every((line) => line.startsWith('data: {')),
  )
  t.equal(
    (
      await app.inject({
        method: 'POST',
        url: '/v1/completions',
        payload: '{',
        headers: { 'content-type': 'application/json' },
      })
    ).json().error.code,
    'bad_request',
  )
})

t.test('answers the clients of text-generation-inference', async (t) => {
  const tgi = new InferenceClient('', { endpointUrl: url })
  const parameters = { max_new_tokens: 6, do_sample: false }
  t.same(await tgi.textGeneration({ endpointUrl: url, inputs: prompt, parameters }), {
    generated_text: await textAt(8),
  })
  t.same(await tgi.textGeneration({ endpointUrl: url, model: 'e2e:r4', inputs: prompt, parameters }), {
    generated_text: await textAt(4),
  })
  const chat = { endpointUrl: url, messages: user(prompt), max_tokens: 6, temperature: 0 }
  const reply = await tgi.chatCompletion(chat)
  t.match(reply.choices[0]?.message, { role: 'assistant', content: await textAt(8, `user : ${prompt}\n!`) })
  let text = ''
  for await (const { choices } of tgi.chatCompletionStream(chat)) text += choices[0]?.delta.content ?? ''
  t.equal(text, reply.choices[0]?.message.content)
  let streamed = ''
  for await (const event of tgi.textGenerationStream({ endpointUrl: url, inputs: prompt, parameters })) {
    streamed += (event as unknown as OpenAI.Completion).choices[0]?.text
  }
  t.equal(streamed, await textAt(8))
  const native = { endpointUrl: `${url}/generate?rank=4`, inputs: prompt, parameters: { max_new_tokens: 6 } }
  t.match(await tgi.request(native), { generated_text: await textAt(4) })
  const events: { generated_text: string | null }[] = []
  for await (const event of tgi.streamingRequest<{ generated_text: string | null }>({
    ...native,
    endpointUrl: `${url}/generate_stream?rank=4`,
  })) {
    events.push(event)
  }
  t.equal(events.length, 6)
  t.equal(events.at(-1)?.generated_text, await textAt(4))
  for (const path of ['/', '/?rank=8']) {
    t.match(await tgi.request({ ...native, endpointUrl: `${url}${path}` }), [{ generated_text: await textAt(8) }])
  }
})
