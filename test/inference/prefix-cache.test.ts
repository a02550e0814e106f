/** Prompts that begin alike are computed once, and answered as if each were computed alone. */
import fc from 'fast-check'
import t from 'tap'
import type { Adapter } from '../../src/dylora/adapter.ts'
import { blockTokens, PrefixCache } from '../../src/inference/prefix-cache.ts'
import { greedySampling } from '../../src/inference/request.ts'
import { randomAdapter } from '../fixtures/adapters.ts'
import { request, testEngine } from '../fixtures/engine.ts'

const long = 'name : The Vaults | Type : pub | price : more than £ 30'

/** A cache whose values tell which weights and tokens they were computed from. */
function tellingCache(budgetBlocks: number) {
  const slots = new Map<number, string[]>()
  const values: string[][] = []
  const cache = {
    bytesPerToken: 8,
    copyOut: (slot: number, first: number, end: number) => {
      values.push((slots.get(slot) ?? []).slice(first, end))
      return Float32Array.of(values.length - 1)
    },
    copyIn: (slot: number, first: number, [index = -1]: Float32Array | Uint16Array) => {
      const held = slots.get(slot) ?? []
      held.splice(first, blockTokens, ...(values[index] ?? []))
      slots.set(slot, held)
    },
  }
  return { slots, prefixes: new PrefixCache({ cache, budgetBytes: budgetBlocks * blockTokens * 8 }) }
}

const weights = (digest: string, rank: number) => ({ adapter: { digest } as Adapter, rank })

t.test('whatever is kept and asked for, a slot gets what its own tokens and weights would give', async () => {
  const beginnings = fc.array(fc.constantFrom(1, 2), { maxLength: 4 })
  const asked = fc.record({
    blocks: beginnings,
    tail: fc.nat(blockTokens),
    digest: fc.constantFrom('a', 'b'),
    rank: fc.constantFrom(0, 1, 2),
  })
  fc.assert(
    fc.property(fc.array(asked, { maxLength: 30 }), fc.nat(6), (requests, budget) => {
      const { slots, prefixes } = tellingCache(budget)
      for (const { blocks, tail, digest, rank } of requests) {
        const ids = [...blocks.flatMap((id) => Array<number>(blockTokens).fill(id)), ...Array<number>(tail).fill(9), 7]
        const own = rank === 0 ? 'base' : `${digest}:${rank}`
        const told = ids.map((_, i) => `${own} ${ids.slice(0, i + 1).join()}`)
        slots.set(0, [])
        const known = prefixes.restore(weights(digest, rank), ids, 0)
        if (known >= ids.length || slots.get(0)?.join('|') !== told.slice(0, known).join('|')) return false
        slots.set(0, told)
        prefixes.keep(weights(digest, rank), ids, 0)
        if (prefixes.stats.bytes > budget * blockTokens * 8) return false
        slots.set(0, [])
        const whole = Math.min(budget, Math.floor((ids.length - 1) / blockTokens)) * blockTokens
        if (prefixes.restore(weights(digest, rank), ids, 0) < whole) return false
      }
      return true
    }),
    { numRuns: 300 },
  )
})

t.test('what was used last is kept longest, and never without what it follows', async (t) => {
  const { slots, prefixes } = tellingCache(3)
  slots.set(0, Array<string>(99).fill('x'))
  const ids = (...blocks: number[]) => blocks.flatMap((id) => Array<number>(blockTokens).fill(id))
  const base = { adapter: null, rank: 0 }
  prefixes.keep(base, ids(1, 2), 0)
  prefixes.keep(base, ids(3), 0)
  t.equal(prefixes.restore(base, [...ids(1, 2), 0], 1), 2 * blockTokens, 'used')
  prefixes.keep(base, ids(4), 0)
  t.equal(prefixes.restore(base, [...ids(3), 0], 1), 0, 'the oldest is gone')
  t.equal(prefixes.restore(base, [...ids(1, 2), 0], 1), 2 * blockTokens)
  prefixes.keep(base, ids(1, 5), 0)
  t.equal(prefixes.restore(base, [...ids(1, 2), 0], 1), 2 * blockTokens)
  prefixes.keep(base, ids(6), 0)
  prefixes.keep(base, ids(7), 0)
  t.equal(prefixes.restore(base, [...ids(1, 2), 0], 1), blockTokens, 'its end went first')
})

t.test('a prompt that comes again is not computed again, and answers the same', async (t) => {
  const { engine, adapter } = await testEngine(t, { prefixCacheBytes: 1e6, prefillChunk: 5 })
  await engine.registry.add(await adapter('e2e', randomAdapter(1)))
  const { engine: plain, adapter: written } = await testEngine(t, { prefillChunk: 5 })
  await plain.registry.add(await written('e2e', randomAdapter(1)))
  const tokensOf = (from: typeof engine, rank: number, changes = {}) =>
    from.submit(request(long, { rank, ...changes })).result
  for (const rank of [4, 2, 0]) {
    const expected = (await tokensOf(plain, rank)).text
    const [first, second] = [await tokensOf(engine, rank), await tokensOf(engine, rank)]
    t.same([first.text, second.text], [expected, expected])
    t.equal(first.cachedTokens, 0, `rank ${rank} has keys and values of its own`)
    t.equal(second.cachedTokens, Math.floor((second.promptTokens - 1) / blockTokens) * blockTokens)
    t.ok(second.cachedTokens > 0)
  }
  const before = engine.stats.runs
  await tokensOf(engine, 4, { maxNewTokens: 1 })
  t.ok(engine.stats.runs - before < (await tokensOf(plain, 4)).promptTokens / 5, 'fewer parts of the prompt are run')
  t.match(engine.stats.prefixCache, { hits: Number, queries: Number, bytes: Number })
  t.equal(plain.stats.prefixCache, null)
})

t.test('the text of an answer is known where the next prompt goes on from it', async (t) => {
  const { engine } = await testEngine(t, { prefixCacheBytes: 1e6 })
  const inputIds = [...engine.tokenizer.encode('name : The Vaults')]
  const first = await engine.submit(request('', { inputIds, maxNewTokens: 30 })).result
  const next = [...inputIds, ...first.tokens.map(({ id }) => id), 5]
  const second = await engine.submit(request('', { inputIds: next, maxNewTokens: 2 })).result
  const fed = inputIds.length + first.tokens.length - 1
  t.equal(second.cachedTokens, Math.floor(fed / blockTokens) * blockTokens)
  t.ok(second.cachedTokens > inputIds.length)
})

t.test('a cache of float16 takes half the memory, is copied as well, and answers nearly the same', async (t) => {
  const cacheDtype = 'float16'
  const { engine } = await testEngine(t, { cacheDtype, prefixCacheBytes: 1e6, prefillChunk: 5 })
  const { engine: exact } = await testEngine(t, { prefixCacheBytes: 1e6, prefillChunk: 5 })
  const sampling = { ...greedySampling, temperature: 1, seed: 5 }
  const ask = (from: typeof engine, changes = {}) => from.submit(request(long, { maxNewTokens: 6, ...changes })).result
  const [first, again, expected] = [await ask(engine), await ask(engine), await ask(exact)]
  t.ok(again.cachedTokens > 0)
  t.same(first.text, again.text)
  const gaps = first.tokens.map(({ logprob }, i) => Math.abs((logprob ?? 0) - (expected.tokens[i]?.logprob ?? 9)))
  t.ok(Math.max(...gaps) < 5e-3, `${gaps}`)
  t.ok(Math.max(...gaps) > 0, 'it is another type indeed')
  t.equal(2 * (engine.stats.prefixCache?.bytes ?? 0), exact.stats.prefixCache?.bytes)
  const several = await ask(engine, { bestOf: 3, sampling })
  t.equal(several.others.length, 2, 'rows branch in it')
})

t.test('whose prompt is to be told has it computed', async (t) => {
  const { engine } = await testEngine(t, { prefixCacheBytes: 1e6 })
  await engine.submit(request(long)).result
  const told = await engine.submit(request(long, { prefillDetails: true })).result
  t.equal(told.cachedTokens, 0)
  t.equal(told.prefill.length, told.promptTokens)
})
