/** Who may do what: every route without a key, keys in every wrong form, and the limits of each key. */
import t from 'tap'
import { hashOf } from '../../src/server/access-keys.ts'
import type { AccessOptions } from '../../src/server/plugins/access.ts'
import { testApp } from '../fixtures/app.ts'

const keys = [
  { name: 'alice', sha256: hashOf('alice-key-0123456789'), admin: false },
  { name: 'bob', sha256: hashOf('bob-key-0123456789'), admin: false },
  { name: 'root', sha256: hashOf('root-key-0123456789'), admin: true },
]
const options: AccessOptions = { keys: () => keys, requestsPerMinute: 0, concurrency: 0 }
const bearer = (name: string) => ({ authorization: `Bearer ${name}-key-0123456789` })
const body = { inputs: 'name : The Vaults', parameters: { max_new_tokens: 3 } }
const json = { 'content-type': 'application/json' }

t.test('probes, scrapers and the documentation need no key; everything else does', async (t) => {
  const { app } = await testApp(t, { app: { access: options } })
  for (const url of ['/health', '/ready', '/metrics', '/openapi.json'])
    t.equal((await app.inject({ url })).statusCode, 200, url)
  const { paths } = (await app.inject({ url: '/openapi.json' })).json<{ paths: Record<string, object> }>()
  const guarded = Object.entries(paths).filter(([path]) => !['/health', '/ready', '/metrics'].includes(path))
  t.ok(guarded.length > 6)
  for (const [path, operations] of guarded) {
    for (const method of Object.keys(operations)) {
      const url = path.replaceAll(/\{\w+\}/g, 'e2e')
      const reply = await app.inject({
        method: method.toUpperCase() as 'GET',
        url,
        headers: json,
        ...(method !== 'get' && { payload: '{}' }),
      })
      t.equal(reply.statusCode, 401, `${method} ${path}`)
      t.equal(reply.headers['www-authenticate'], 'Bearer realm="dylora-serve"')
    }
  }
  t.equal((await app.inject({ url: '/adapters', headers: bearer('alice') })).statusCode, 200)
  t.equal((await app.inject({ url: '/nothing' })).statusCode, 401, 'what there is is not told either')
})

t.test('a refusal is told in the shape of its clients', async (t) => {
  const { app } = await testApp(t, { app: { access: options } })
  const native = await app.inject({ url: '/info' })
  t.match(native.json(), {
    ...{ type: 'urn:dylora:problem:unauthorized', status: 401, error_type: 'unauthorized' },
    detail: "This needs an API key: expected the header 'Authorization: Bearer <key>'",
  })
  t.match(native.headers['content-type'], /application\/problem\+json/)
  const openai = await app.inject({ url: '/v1/models', headers: { authorization: 'Bearer wrong' } })
  t.match(openai, { statusCode: 401, headers: { 'www-authenticate': /invalid_token/ } })
  t.match(openai.json(), { error: { type: 'authentication_error', message: 'This API key is not known' } })
})

t.test('nothing but a whole key opens', async (t) => {
  const { app } = await testApp(t, { app: { access: options } })
  for (const authorization of [
    ...['', 'Bearer', 'Bearer ', 'alice-key-0123456789', 'Basic alice-key-0123456789', 'Bearer alice-key-012345678'],
    ...[
      'Bearer alice-key-0123456789x',
      'Bearer ALICE-KEY-0123456789',
      'Bearer alice',
      `Bearer ${Buffer.from(keys[0]!.sha256).toString('hex')}`,
    ],
    ...['Bearer __proto__', 'Bearer alice-key-0123456789, Bearer bob-key-0123456789'],
  ]) {
    t.equal((await app.inject({ url: '/info', headers: { authorization } })).statusCode, 401, authorization)
  }
  t.equal(
    (await app.inject({ url: '/info?authorization=Bearer%20alice-key-0123456789' })).statusCode,
    401,
    'not in the address',
  )
  t.equal(
    (await app.inject({ url: '/info', headers: { authorization: 'bearer alice-key-0123456789' } })).statusCode,
    200,
  )
})

t.test('what changes the service wants an admin key', async (t) => {
  const { app } = await testApp(t, { app: { access: options } })
  app.post('/change', { config: { admin: true } }, async () => ({ done: true }))
  const change = (headers: Record<string, string>) => app.inject({ method: 'POST', url: '/change', headers })
  t.equal((await change({})).statusCode, 401)
  const refused = await change(bearer('alice'))
  t.match(refused, { statusCode: 403 })
  t.match(refused.json(), { type: 'urn:dylora:problem:forbidden', detail: "This needs an admin key: 'alice' is none" })
  t.equal((await change(bearer('root'))).statusCode, 200)
  t.equal((await app.inject({ url: '/info', headers: bearer('root') })).statusCode, 200, 'it opens the rest too')
})

t.test('without keys, no page of another site acts through a browser', async (t) => {
  const open = { ...options, keys: () => null }
  const { app } = await testApp(t, { app: { access: { ...open, localOnly: true } } })
  const ask = async (headers: Record<string, string>, method: 'GET' | 'POST' = 'POST') => {
    const payload = method === 'POST' ? { payload: JSON.stringify(body) } : {}
    const url = method === 'POST' ? '/generate' : '/info'
    return (await app.inject({ method, url, headers: { ...json, host: 'localhost:8080', ...headers }, ...payload }))
      .statusCode
  }
  t.equal(await ask({}), 200, 'no browser')
  t.equal(await ask({ 'sec-fetch-site': 'same-origin', origin: 'https://proxy.example' }), 200)
  t.equal(await ask({ origin: 'http://localhost:8080' }), 200)
  for (const site of ['cross-site', 'same-site']) t.equal(await ask({ 'sec-fetch-site': site }), 403, site)
  for (const origin of ['http://elsewhere.example', 'http://localhost:3000', 'null'])
    t.equal(await ask({ origin }), 403, origin)
  t.equal(await ask({ 'sec-fetch-site': 'cross-site' }, 'GET'), 200, 'a link may be followed')
  for (const host of ['127.0.0.1:8080', '[::1]:8080', 'LOCALHOST']) t.equal(await ask({ host }, 'GET'), 200, host)
  for (const host of ['elsewhere.example', 'localhost.elsewhere.example:8080', '10.0.0.1', 'a b'])
    t.equal(await ask({ host }, 'GET'), 403, host)
  const { app: anywhere } = await testApp(t, { app: { access: open } })
  t.equal((await anywhere.inject({ url: '/info', headers: { host: 'elsewhere.example' } })).statusCode, 200)
  const { app: guarded } = await testApp(t, { app: { access: options } })
  const headers = { ...bearer('alice'), 'sec-fetch-site': 'cross-site' }
  t.equal((await guarded.inject({ url: '/info', headers })).statusCode, 200, 'who has a key is not asked for more')
})

t.test('keys that change are taken at once', async (t) => {
  let valid = keys
  const { app } = await testApp(t, { app: { access: { ...options, keys: () => valid } } })
  const status = async () => (await app.inject({ url: '/info', headers: bearer('alice') })).statusCode
  t.equal(await status(), 200)
  valid = keys.filter(({ name }) => name !== 'alice')
  t.equal(await status(), 401)
})

t.test('each key has its own requests a minute, and is told when to come back', async (t) => {
  const { app } = await testApp(t, { app: { access: { ...options, requestsPerMinute: 3 } } })
  const ask = (name: string) => app.inject({ url: '/info', headers: bearer(name) })
  for (let i = 0; i < 3; i++) t.equal((await ask('alice')).statusCode, 200)
  const refused = await ask('alice')
  t.match(refused, { statusCode: 429, headers: { 'retry-after': /^\d+$/ } })
  t.ok(Number(refused.headers['retry-after']) > 30, 'the rest of the minute')
  t.match(refused.json(), {
    error_type: 'overloaded',
    limit: 3,
    detail: /^More than 3 requests in a minute: try again in \d+ s$/,
  })
  t.equal((await ask('bob')).statusCode, 200)
  for (let i = 0; i < 5; i++)
    t.equal((await app.inject({ url: '/metrics' })).statusCode, 200, 'scrapers are not counted')
})

t.test('each key has its own requests at once, given back when they end', async (t) => {
  const { app } = await testApp(t, { app: { access: { ...options, concurrency: 2 } } })
  const ask = (name: string) =>
    app.inject({
      method: 'POST',
      url: '/generate',
      headers: { ...json, ...bearer(name) },
      payload: JSON.stringify(body),
    })
  const replies = await Promise.all([ask('alice'), ask('alice'), ask('alice'), ask('bob')])
  t.same(
    replies.map(({ statusCode }) => statusCode),
    [200, 200, 429, 200],
  )
  t.match(replies[2]?.json(), { error_type: 'overloaded', limit: 2 })
  t.equal((await ask('alice')).statusCode, 200)
})

t.test('without keys an address has the limits', async (t) => {
  const { app } = await testApp(t, { app: { access: { keys: () => null, requestsPerMinute: 1, concurrency: 0 } } })
  const from = (remoteAddress: string) => app.inject({ url: '/info', remoteAddress })
  t.same(
    [(await from('10.0.0.1')).statusCode, (await from('10.0.0.1')).statusCode, (await from('10.0.0.2')).statusCode],
    [200, 429, 200],
  )
})

t.test('every reply tells browsers to keep to themselves', async (t) => {
  const { app } = await testApp(t)
  for (const url of ['/info', '/nothing', '/metrics']) {
    const { headers } = await app.inject({ url, headers: { origin: 'https://elsewhere.example' } })
    t.match(headers, {
      ...{
        'content-security-policy': /default-src 'none'/,
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'SAMEORIGIN',
      },
      'cross-origin-resource-policy': 'same-origin',
    })
    t.equal(headers['access-control-allow-origin'], undefined)
    t.equal(headers['strict-transport-security'], undefined, 'the server speaks plain HTTP')
  }
})
