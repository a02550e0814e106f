import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { sseData, withHeartbeat } from '../../src/server/sse.ts'

async function collect(events: AsyncIterable<string>): Promise<string[]> {
  const all: string[] = []
  for await (const event of events) all.push(event)
  return all
}

t.test('writes one data line an event, whatever line breaks the text has', async (t) => {
  t.equal(sseData({ text: 'a\nb\r\u2028' }), 'data:{"text":"a\\nb\\r\u2028"}\n\n')
})

t.test('passes events on unchanged and in order', async (t) => {
  async function* events() {
    yield 'one'
    yield 'two'
  }
  t.same(await collect(withHeartbeat(events(), 10_000)), ['one', 'two'])
})

t.test('sends comments while nothing comes, and the events after them', async (t) => {
  async function* events() {
    await sleep(80)
    yield 'late'
  }
  const all = await collect(withHeartbeat(events(), 20))
  t.equal(all.at(-1), 'late')
  t.ok(all.length > 1)
  for (const comment of all.slice(0, -1)) t.match(comment, /^: .*\n\n$/)
})

t.test('ends the source when the reader leaves', async (t) => {
  let ended = false
  async function* events() {
    try {
      yield 'one'
      yield 'two'
    } finally {
      ended = true
    }
  }
  for await (const event of withHeartbeat(events(), 10_000)) {
    t.equal(event, 'one')
    break
  }
  t.ok(ended)
})

t.test('passes a failure of the source on', async (t) => {
  async function* events() {
    yield 'one'
    throw new Error('broken')
  }
  await t.rejects(collect(withHeartbeat(events(), 10_000)), { message: 'broken' })
})
