import t from 'tap'
import { LatencyBook } from '../../src/server/latency.ts'

t.test('knows the percentiles of each adapter, rank and kind apart', async (t) => {
  const book = new LatencyBook()
  for (let ms = 1; ms <= 100; ms++) book.record('total_ms', 'e2e', 4, ms)
  book.record('total_ms', 'e2e', 8, 1000)
  book.record('inter_token_ms', null, 0, 0.25)
  const { count, p50, p90, p99 } = book.of('e2e', 4).total_ms
  t.equal(count, 100)
  t.ok(Math.abs(p50 - 50) <= 1 && Math.abs(p90 - 90) <= 1 && Math.abs(p99 - 99) <= 1, `${p50} ${p90} ${p99}`)
  t.equal(book.of('e2e', 8).total_ms.count, 1)
  t.equal(book.of('e2e', 4).inter_token_ms.count, 0)
  t.ok(Math.abs(book.of(null, 0).inter_token_ms.p50 - 0.25) < 0.01)
})

t.test('takes zero and hours without complaint', async (t) => {
  const book = new LatencyBook()
  for (const ms of [0, 1e12]) book.record('total_ms', 'a', 1, ms)
  t.equal(book.of('a', 1).total_ms.count, 2)
})

t.test('forgets an adapter that is gone, and only that one', async (t) => {
  const book = new LatencyBook()
  book.record('total_ms', 'a', 1, 5)
  book.record('total_ms', 'a b', 1, 5)
  book.forget('a')
  t.equal(book.of('a', 1).total_ms.count, 0)
  t.equal(book.of('a b', 1).total_ms.count, 1)
})
