import { readFile } from 'node:fs/promises'
import t from 'tap'
import { judgeOf, type OpenApi, type Operation } from '../fuzz/documented.ts'
import { fuzz } from '../fuzz/fuzz.ts'
import { fuzzedApp } from '../fuzz/fuzzed-app.ts'

const document = JSON.parse(await readFile(new URL('../../openapi/openapi.json', import.meta.url), 'utf8')) as OpenApi
const operationAt = (path: string, method: string): Operation => {
  const operation = document.paths[path]?.[method]
  if (operation === undefined) throw new RangeError(`expected ${method} ${path}`)
  return operation
}

t.test('whatever is sent, the reply is one that the document describes, and never a 5xx', async (t) => {
  const counts = await fuzz({ url: await fuzzedApp(t), document, requests: 1500, seed: 1 })
  const seen = [...counts.keys()]
  // Or all that was found out would be that requests are refused.
  for (const each of [
    'generateStream 200',
    'generate 422',
    'createCompletion 200',
    'createCompletion 400',
    'createChatCompletion 200',
  ])
    t.ok(seen.includes(each), each)
})

t.test('a reply that is not as documented is told', (t) => {
  const judge = judgeOf(document)
  const generate = operationAt('/generate', 'post')
  const reply = { status: 200, contentType: 'application/json', text: '{"generated_text":"x"}' }
  t.equal(judge(generate, reply), null)
  t.match(judge(generate, { ...reply, text: '{"generated_text":5}' }), /must be string/)
  t.match(judge(generate, { ...reply, status: 418 }), /not documented/)
  t.match(judge(generate, { ...reply, status: 500 }), /a 500/)
  t.match(judge(generate, { ...reply, contentType: 'text/html' }), /text\/html is not documented/)
  const stream = { ...reply, contentType: 'text/event-stream' }
  t.match(judge(generate, { ...stream, text: 'data:{"index":0}\n\n' }), /required/)
  t.equal(judge(operationAt('/v1/completions', 'post'), { ...stream, text: 'data: [DONE]\n\n' }), null)
  t.end()
})
