import { once } from 'node:events'
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Generation, StreamEvent } from '../../src/server/generate-reply.ts'
import { inputs, sseObjects, type TestApp, type TestAppOptions, testApp } from '../fixtures/app.ts'

const json = { 'content-type': 'application/json' }

interface Listening extends TestApp {
  readonly url: string
  readonly port: number
}

async function setup(t: Test, options: TestAppOptions = {}): Promise<Listening> {
  const tested = await testApp(t, options)
  const url = await tested.app.listen({ port: 0 })
  return { ...tested, url, port: Number(new URL(url).port) }
}

const send = (url: string, body: unknown, signal?: AbortSignal) =>
  fetch(url, { method: 'POST', headers: json, body: JSON.stringify(body), ...(signal && { signal }) })

/** Waits until the condition holds; fails the test when it never does. */
async function eventually(t: Test, condition: () => boolean, message: string): Promise<void> {
  for (let tries = 0; tries < 5000 && !condition(); tries++) await sleep(1)
  t.ok(condition(), message)
}

t.test('answers 64 mixed requests at once exactly as one at a time', async (t) => {
  const { url, engine } = await setup(t)
  const texts = ['name : The Vaults', 'a', 'The quick brown fox', 'Café Adriatic 🙂', 'x y z']
  const ranks = ['1', '8', '3', 'max', 'auto', '0', '5']
  const asks = Array.from({ length: 64 }, (_, i) => ({
    query: i % 3 === 2 ? 'adapter_id=other&rank=2' : `rank=${ranks[i % ranks.length]}`,
    body: { inputs: texts[i % texts.length], parameters: { max_new_tokens: 3 + (i % 13), details: true } },
  }))
  const ask = async ({ query, body }: (typeof asks)[number]) =>
    (await (await send(`${url}/generate?${query}`, body)).json()) as Generation
  const alone: Generation[] = []
  for (const each of asks) alone.push(await ask(each))
  const largest = { batch: 0, ranks: 0 }
  engine.on('step', ({ batchSize, distinctRanks }) => {
    largest.batch = Math.max(largest.batch, batchSize)
    largest.ranks = Math.max(largest.ranks, distinctRanks)
  })
  const together = await Promise.all(asks.map(ask))
  const said = ({ generated_text, details }: Generation) => [
    generated_text,
    details?.rank,
    details?.tokens.map(({ id }) => id),
  ]
  t.same(together.map(said), alone.map(said))
  t.ok(largest.batch > 4 && largest.ranks > 2, `they shared steps: ${JSON.stringify(largest)}`)
})

t.test('frees the slot of a client that goes away in the middle of a stream', async (t) => {
  const { url, engine } = await setup(t, { engine: { maxBatchSize: 1 } })
  const outcomes: string[] = []
  engine.on('finished', ({ outcome }) => outcomes.push(outcome))
  const client = new AbortController()
  const response = await send(`${url}/generate_stream`, { inputs, parameters: { max_new_tokens: 45 } }, client.signal)
  await response.body?.getReader().read()
  client.abort()
  await eventually(t, () => engine.stats.running === 0, 'nothing runs')
  t.same(outcomes, ['cancelled'])
  t.equal((await send(`${url}/generate`, { inputs, parameters: { max_new_tokens: 2 } })).status, 200)
})

t.test('gives up waiting and running requests of a client that hangs up', async (t) => {
  const { url, engine } = await setup(t, { engine: { maxBatchSize: 1 } })
  const outcomes: string[] = []
  engine.on('finished', ({ outcome }) => outcomes.push(outcome))
  const client = new AbortController()
  const parameters = { max_new_tokens: 45 }
  const gone = Array.from({ length: 40 }, () =>
    send(`${url}/generate`, { inputs, parameters }, client.signal).catch(() => 'gone'),
  )
  await eventually(t, () => engine.stats.running + engine.stats.waiting > 10, 'some wait')
  client.abort()
  await Promise.all(gone)
  await eventually(t, () => engine.stats.running + engine.stats.waiting === 0, 'none is left')
  t.ok(outcomes.filter((outcome) => outcome === 'cancelled').length >= 10, outcomes.join(' '))
})

t.test('turns requests away when the queue is full, and says when to come back', async (t) => {
  const { url } = await setup(t, { engine: { maxBatchSize: 1, maxWaiting: 2 } })
  const parameters = { max_new_tokens: 40 }
  const responses = await Promise.all(Array.from({ length: 12 }, () => send(`${url}/generate`, { inputs, parameters })))
  const refused = responses.filter(({ status }) => status === 429)
  t.ok(refused.length > 0 && refused.length < 12, `${refused.length} of 12`)
  t.ok(responses.every(({ status }) => status === 200 || status === 429))
  t.match(refused[0]?.headers.get('retry-after'), /^\d+$/)
  t.match(await refused[0]?.json(), { error_type: 'overloaded', status: 429 })
})

t.test('tells of a failure inside a stream with an event', async (t) => {
  const { url } = await setup(t, { engine: { maxBatchSize: 1, requestTimeoutMs: 1 } })
  const response = await send(`${url}/generate_stream`, { inputs, parameters: { max_new_tokens: 45 } })
  t.equal(response.status, 200)
  t.match(sseObjects(await response.text()).at(-1), { error: /.+/, error_type: 'generation', status: 500 })
})

t.test('sends a comment while a stream has nothing to say', async (t) => {
  const { url, engine } = await setup(t, { engine: { maxBatchSize: 1 }, app: { heartbeatMs: 1 } })
  const others = Array.from({ length: 8 }, () =>
    send(`${url}/generate`, { inputs, parameters: { max_new_tokens: 45 } }),
  )
  await eventually(t, () => engine.stats.waiting > 4, 'others wait')
  const text = await (await send(`${url}/generate_stream`, { inputs, parameters: { max_new_tokens: 2 } })).text()
  t.match(text, /^: /m)
  t.equal(sseObjects<StreamEvent>(text).length, 2)
  await Promise.all(others)
})

t.test('keeps a slow reader from holding anybody up', async (t) => {
  const { url, port, engine } = await setup(t)
  const body = JSON.stringify({ inputs, parameters: { max_new_tokens: 45, top_n_tokens: 20 } })
  const socket = connect(port).pause()
  t.teardown(() => socket.destroy())
  const head = `POST /generate_stream HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`
  socket.write(head + body)
  await once(engine, 'finished')
  t.pass('it is through although nobody reads')
  t.equal((await send(`${url}/generate`, { inputs, parameters: { max_new_tokens: 2 } })).status, 200)
  let text = ''
  socket.setEncoding('utf8').on('data', (chunk) => {
    text += chunk
  })
  socket.resume()
  await eventually(t, () => text.includes('"finish_reason"'), 'the reader gets everything in the end')
})

t.test('ends a body that does not end', async (t) => {
  const { port, url } = await setup(t)
  for (const header of ['transfer-encoding: chunked', 'content-length: 100000000']) {
    const socket = connect(port)
    let reply = ''
    socket.setEncoding('utf8').on('data', (chunk) => {
      reply += chunk
    })
    socket.on('error', () => {})
    socket.write(`POST /generate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n${header}\r\n\r\n`)
    const chunk = 'a'.repeat(8192)
    const timer = setInterval(() => socket.writable && socket.write(`2000\r\n${chunk}\r\n`), 1)
    await once(socket, 'close')
    clearInterval(timer)
    t.match(reply, /^HTTP\/1\.1 413 [\s\S]*"error_type":"validation"/, header)
  }
  const large = await send(`${url}/generate`, { inputs: 'x'.repeat(70_000) })
  t.match(await large.json(), { status: 413, type: 'urn:dylora:problem:body-too-large' })
})

t.test('closes connections beyond its limit, and takes new ones when others end', async (t) => {
  const { port, url } = await setup(t, { app: { maxConnections: 2 } })
  const held = [connect(port), connect(port)]
  await Promise.all(held.map((socket) => once(socket, 'connect')))
  const excess = connect(port)
  await once(excess, 'close')
  for (const socket of held) socket.destroy()
  await Promise.all(held.map((socket) => once(socket, 'close')))
  await sleep(20)
  t.equal((await fetch(`${url}/health`)).status, 200)
})

t.test('gives up a client that never finishes its request', async (t) => {
  const { port } = await setup(t, { app: { receiveTimeoutMs: 300 } })
  const socket = connect(port)
  let reply = ''
  socket.setEncoding('utf8').on('data', (chunk) => {
    reply += chunk
  })
  socket.write('POST /generate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{')
  await once(socket, 'close')
  t.match(reply, /^HTTP\/1\.1 408/)
})

t.test('finishes running requests when it closes, and lets idle connections go', async (t) => {
  const { app, url, port, engine } = await setup(t)
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  const idle = httpRequest({ port, path: '/health', agent }).end()
  const [reply] = (await once(idle, 'response')) as [IncomingMessage]
  reply.resume()
  const silent = connect(port)
  await once(silent, 'connect')
  const running = send(`${url}/generate`, { inputs, parameters: { max_new_tokens: 45 } })
  const streaming = send(`${url}/generate_stream`, { inputs, parameters: { max_new_tokens: 45 } })
  await eventually(t, () => engine.stats.running + engine.stats.waiting === 2, 'two are under way')
  await Promise.all([app.close(), once(silent, 'close')])
  t.equal((await running).status, 200)
  t.match(await (await streaming).text(), /"finish_reason":"length"/)
  await t.rejects(send(`${url}/generate`, { inputs }), 'nobody listens any more')
})
