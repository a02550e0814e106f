import { readFile } from 'node:fs/promises'
import { validate } from '@readme/openapi-parser'
import { Validator } from '@seriousme/openapi-schema-validator'
import openapiTS, { astToString } from 'openapi-typescript'
import t from 'tap'
import { openApiDocument } from '../../src/server/openapi-document.ts'
import { judgeOf, type OpenApi } from '../fuzz/documented.ts'
import { fuzzedApp } from '../fuzz/fuzzed-app.ts'

interface Operation {
  readonly operationId?: string
  readonly summary?: string
  readonly parameters?: readonly { readonly description?: string }[]
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
}

const committed = new URL('../../openapi/openapi.json', import.meta.url)
const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string
}

t.test('the committed document is the one that the routes give; `npm run openapi` writes it', async (t) => {
  t.same(JSON.parse(await readFile(committed, 'utf8')), JSON.parse(JSON.stringify(await openApiDocument(version))))
})

t.test('the document is valid OpenAPI 3.1', async (t) => {
  const document = JSON.parse(await readFile(committed, 'utf8'))
  t.match(document.openapi, /^3\.1\./)
  t.match(await validate(document), { valid: true })
})

t.test('a second validator, which shares no code with the first, says the same', async (t) => {
  const document = JSON.parse(await readFile(committed, 'utf8'))
  const validator = new Validator()
  t.match(await validator.validate(document), { valid: true })
  t.equal(validator.version, '3.1')
  t.match(await new Validator().validate({ ...document, paths: { '/x': { get: { responses: 5 } } } }), { valid: false })
})

t.test('every body has an example, which is as its schema says', async (t) => {
  const document = JSON.parse(await readFile(committed, 'utf8')) as OpenApi
  const judge = judgeOf(document)
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const bodies = Object.entries(operation.responses).map(([status, { content }]) => [status, content] as const)
      for (const [status, content] of [...bodies, ['request', operation.requestBody?.content] as const]) {
        for (const [contentType, { schema, example }] of Object.entries(content ?? {})) {
          const name = `${method} ${path} ${status} ${contentType}`
          t.not(example, undefined, name)
          // As a reply with status 200, so that requests and failures are judged too.
          const responses = { 200: { content: { 'application/json': { schema } } } }
          const why =
            contentType === 'text/event-stream' && schema.type !== 'string'
              ? judge(operation, { status: 200, contentType, text: String(example) })
              : judge(
                  { ...operation, responses },
                  { status: 200, contentType: 'application/json', text: JSON.stringify(example) },
                )
          t.equal(why, null, name)
        }
      }
    }
  }
})

t.test('the examples of requests are answered by a server', async (t) => {
  const { paths } = JSON.parse(await readFile(committed, 'utf8')) as OpenApi
  const url = await fuzzedApp(t)
  for (const path of ['/generate', '/', '/generate_stream', '/v1/completions', '/v1/chat/completions', '/evaluate']) {
    const body = JSON.stringify(paths[path]?.post?.requestBody?.content['application/json']?.example)
    const headers = { 'content-type': 'application/json' }
    const reply = await fetch(url + path, { method: 'POST', headers, body })
    t.equal(reply.status, 200, `${path} ${await reply.text()}`)
  }
})

t.test('the page of the documentation works over plain HTTP', async (t) => {
  const reply = await fetch(`${await fuzzedApp(t)}/docs/`)
  t.equal(reply.status, 200)
  t.match(reply.headers.get('content-security-policy'), /^default-src 'self';.*script-src 'self'/)
  t.notMatch(reply.headers.get('content-security-policy'), /upgrade-insecure-requests|https:|swagger\.io/)
})

t.test('every operation and parameter is described', async (t) => {
  const { paths } = JSON.parse(await readFile(committed, 'utf8')) as Document
  for (const [path, operations] of Object.entries(paths)) {
    for (const [method, { operationId, summary, parameters = [] }] of Object.entries(operations)) {
      t.ok(operationId && summary, `${method} ${path}`)
      for (const { description } of parameters) t.ok(description, `${method} ${path}`)
    }
  }
})

t.test('holds no schema that nothing refers to', async (t) => {
  const text = await readFile(committed, 'utf8')
  const document = JSON.parse(text) as { components: { schemas: object } }
  for (const name of Object.keys(document.components.schemas))
    t.ok(text.includes(`#/components/schemas/${name}"`), name)
})

t.test('the types of the page are those of the document; `npm run openapi` writes both', async (t) => {
  const types = astToString(await openapiTS(committed))
  const written = await readFile(new URL('../../src/page/openapi.d.ts', import.meta.url), 'utf8')
  t.ok(types.length > 10_000)
  t.ok(written.endsWith(types))
})
