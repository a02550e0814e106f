import { readFile } from 'node:fs/promises'
import { validate } from '@readme/openapi-parser'
import openapiTS, { astToString } from 'openapi-typescript'
import t from 'tap'
import { openApiDocument } from '../../src/server/openapi-document.ts'

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
