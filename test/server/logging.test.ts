import { pino } from 'pino'
import t, { type Test } from 'tap'
import { testApp } from '../fixtures/app.ts'

async function setup(t: Test) {
  const lines: string[] = []
  const logger = pino({ level: 'trace' }, { write: (line) => lines.push(line) })
  return { ...(await testApp(t, { app: { logger } })), lines }
}

const secret = 'my very secret prompt'

t.test('never logs a prompt or a completion', async (t) => {
  const { post, lines } = await setup(t)
  const reply = (await post('/generate?rank=2', { inputs: secret, parameters: { max_new_tokens: 20 } })).json()
  await post('/generate_stream', { inputs: secret, parameters: { max_new_tokens: 5, stop: [secret] } })
  await post('/generate', { inputs: secret, parameters: { max_new_tokens: 64 } })
  await post('/generate', { inputs: [secret], [secret]: secret })
  await post(`/generate?rank=${encodeURIComponent(secret)}`, { inputs: secret })
  t.ok(lines.length >= 5)
  t.notMatch(lines.join(''), secret)
  t.notOk(lines.join('').includes(JSON.stringify(reply.generated_text).slice(1, -1)))
})

t.test('writes one line a request, with the route, adapter, rank and the id of the reply', async (t) => {
  const { post, lines } = await setup(t)
  const response = await post('/generate?rank=2', { inputs: 'x', parameters: { max_new_tokens: 2 } })
  const done = lines.map((line) => JSON.parse(line)).filter(({ msg }) => msg === 'request done')
  t.match(done, [
    { level: 30, route: '/generate', status: 200, adapter: 'e2e', rank: '2', reqId: response.headers['x-request-id'] },
  ])
})

t.test('keeps the questions of machines out of the log, unless they fail', async (t) => {
  const { app, lines } = await setup(t)
  for (const url of ['/health', '/ready', '/metrics']) await app.inject(url)
  t.same(
    lines.filter((line) => JSON.parse(line).level >= 30),
    [],
  )
})

t.test('logs a bug with its stack, and tells the client nothing but the id', async (t) => {
  const { app, lines } = await setup(t)
  app.get('/bug', () => {
    throw new TypeError(`expected better, got ${secret.length}`)
  })
  const response = await app.inject('/bug')
  t.match(response.json(), { status: 500, error_type: 'generation' })
  t.notMatch(response.body, 'expected better')
  const [bug] = lines.map((line) => JSON.parse(line)).filter(({ level }) => level === 50)
  t.match(bug, { reqId: response.json().instance, err: { type: 'TypeError', stack: /expected better/ } })
})
