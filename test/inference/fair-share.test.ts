/** Whose turn it is: an even share for each adapter that has work, however much each of them sends. */
import fc from 'fast-check'
import t from 'tap'
import { expectRoom } from '../../src/inference/admission.ts'
import { FairShare } from '../../src/inference/fair-share.ts'
import { randomAdapter } from '../fixtures/adapters.ts'
import { request, testEngine } from '../fixtures/engine.ts'

/** Serves requests of `cost` one after the other; gives whose turn each was. */
function turns(share: FairShare, waiting: { client: string; cost: number }[], count: number): string[] {
  return Array.from({ length: count }, () => {
    const next = waiting[share.next(waiting.map(({ client }) => client))] as { client: string; cost: number }
    const clients = new Set(waiting.map(({ client }) => client)).size
    waiting.splice(waiting.indexOf(next), 1)
    share.charge(next.client, next.cost, clients)
    return next.client
  })
}

const some = (client: string, count: number, cost = 10) => Array.from({ length: count }, () => ({ client, cost }))

t.test('the burst of one waits behind what others send, not they behind it', async (t) => {
  const share = new FairShare()
  for (const client of ['burst', 'other']) share.arrive(client)
  t.same(turns(share, [...some('burst', 9), ...some('other', 2)], 5), ['burst', 'other', 'burst', 'other', 'burst'])
})

t.test('who asks for more tokens has fewer turns', async (t) => {
  const share = new FairShare()
  for (const client of ['long', 'short']) share.arrive(client)
  const taken = turns(share, [...some('long', 9, 30), ...some('short', 30, 10)], 12)
  t.equal(taken.filter((client) => client === 'long').length, 3)
})

t.test('nobody saves up while away', async (t) => {
  const share = new FairShare()
  share.arrive('busy')
  turns(share, some('busy', 50), 50)
  share.arrive('back')
  const taken = turns(share, [...some('busy', 9), ...some('back', 9)], 8)
  t.equal(taken.filter((client) => client === 'back').length, 4)
})

t.test('nobody waits for ever, also where others never end to come', async (t) => {
  const share = new FairShare()
  share.arrive('patient')
  share.charge('patient', 100, 1)
  share.arrive('fresh 0')
  const waiting = [{ client: 'patient', cost: 10 }, ...some('fresh 0', 1)]
  let turn = 0
  for (; turn < 100; turn++) {
    const [client] = turns(share, waiting, 1)
    if (client === 'patient') break
    share.arrive(`fresh ${turn + 1}`)
    waiting.push(...some(`fresh ${turn + 1}`, 1))
  }
  t.ok(turn < 100, `its turn was the ${turn}th`)
})

t.test('while all have work, none is more than one request ahead of another', async () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 2, maxLength: 6 }), (costs) => {
      const share = new FairShare()
      const waiting = costs.flatMap((cost, i) => some(`${i}`, 60, cost))
      for (const i of costs.keys()) share.arrive(`${i}`)
      const taken = turns(share, waiting, 60)
      const charged = costs.map((cost, i) => cost * taken.filter((client) => client === `${i}`).length)
      return Math.max(...charged) - Math.min(...charged) <= Math.max(...costs)
    }),
  )
})

t.test('a full queue has room for an adapter that has none in it, within twice its length', async (t) => {
  const queue = [...some('a', 3), ...some('b', 1)].map(({ client }) => ({ client, promptTokens: 2 }))
  const limits = { maxWaiting: 3, maxWaitingTokens: 100 }
  t.throws(() => expectRoom(queue, 'b', limits), { code: 'overloaded', facts: { waiting: 4, limit: 3 } })
  t.doesNotThrow(() => expectRoom(queue, 'c', limits))
  t.throws(() => expectRoom([...queue, ...queue], 'c', limits), { code: 'overloaded' })
  t.throws(() => expectRoom(queue, 'c', { ...limits, maxWaitingTokens: 4 }), { message: /8 prompt tokens are waiting/ })
  t.doesNotThrow(() => expectRoom(queue, 'c', { ...limits, maxWaitingTokens: 5 }))
})

t.test('in the engine an adapter is answered while the burst of another waits', async (t) => {
  const { engine, adapter } = await testEngine(t, { maxBatchSize: 1, maxWaiting: 20 })
  for (const [seed, name] of ['burst', 'other'].entries()) {
    await engine.registry.add(await adapter(name, randomAdapter(seed + 1)))
  }
  const order: string[] = []
  const send = (adapterId: string) =>
    engine.submit(request('a', { adapterId, maxNewTokens: 4 })).result.then(() => order.push(adapterId))
  const all = [...Array.from({ length: 20 }, () => send('burst')), send('other')]
  await Promise.all(all)
  t.ok(order.indexOf('other') <= 2, `it was answered as number ${order.indexOf('other') + 1} of ${order.length}`)
  t.equal(order.length, 21)
})
