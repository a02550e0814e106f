/** The engine on a tiny model: sharing a batch changes no answer, and nobody's fault is another's. */
import t from 'tap'
import { versionName } from '../../src/dylora/store/versions.ts'
import type { Engine } from '../../src/inference/engine.ts'
import {
  type GenerateRequest,
  type GenerateResult,
  greedySampling,
  type TokenEvent,
} from '../../src/inference/request.ts'
import { randomAdapter } from '../fixtures/adapters.ts'
import { request, testEngine } from '../fixtures/engine.ts'
import { goldenPrompts } from '../fixtures/golden.ts'

const texts = ['name : The Vaults', 'a', 'The quick brown fox jumps over the lazy dog', 'Café — déjà vu 🙂', 'x y z']

/** Requests of mixed adapters, ranks, lengths and texts. */
function mixed(count: number, changes: Partial<GenerateRequest> = {}): GenerateRequest[] {
  return Array.from({ length: count }, (_, i) =>
    request(texts[i % texts.length]!, {
      adapterId: [null, 'one', 'two', 'three'][i % 4] ?? null,
      rank: i % 4 === 0 ? undefined : [1, 4, 2, 0, 3, 'max' as const][i % 6],
      maxNewTokens: 3 + (i % 17),
      ...changes,
    }),
  )
}

async function withAdapters(t: Parameters<typeof testEngine>[0], options: Parameters<typeof testEngine>[1] = {}) {
  const tested = await testEngine(t, options)
  const { adapter, engine } = tested
  await engine.registry.add(await adapter('one', randomAdapter(1)))
  await engine.registry.add(
    await adapter('two', randomAdapter(2, 4, { targetModules: ['k_proj', 'o_proj', 'fc_out'] })),
  )
  await engine.registry.add(await adapter('three', randomAdapter(3, 5)))
  return tested
}

async function oneByOne(engine: Engine, requests: readonly GenerateRequest[]): Promise<GenerateResult[]> {
  const results: GenerateResult[] = []
  for (const each of requests) results.push(await engine.submit(each).result)
  return results
}

const ids = (results: readonly GenerateResult[]) => results.map(({ tokens }) => tokens.map(({ id }) => id))

async function collect(tokens: AsyncIterable<TokenEvent>): Promise<TokenEvent[]> {
  const events: TokenEvent[] = []
  for await (const event of tokens) events.push(event)
  return events
}

t.test('64 concurrent greedy requests of mixed ranks and adapters answer as they do one at a time', async (t) => {
  const { engine } = await withAdapters(t)
  const requests = mixed(64)
  const alone = await oneByOne(engine, requests)
  const together = await Promise.all(requests.map((each) => engine.submit(each).result))
  t.same(ids(together), ids(alone))
  t.same(
    together.map(({ text }) => text),
    alone.map(({ text }) => text),
  )
  t.ok(new Set(alone.map(({ text }) => text)).size > 20, 'the answers differ from each other')
})

t.test('the same seed samples the same text, alone or in a batch', async (t) => {
  const { engine } = await withAdapters(t, { maxBatchSize: 5 })
  const sampling = { ...greedySampling, temperature: 1, topK: 40, topP: 0.95, seed: 7 }
  const requests = mixed(20, { sampling })
  const alone = await oneByOne(engine, requests)
  const together = await Promise.all(requests.map((each) => engine.submit(each).result))
  t.same(ids(together), ids(alone))
})

t.test('prefill in chunks is prefill at once', async (t) => {
  const { engine: whole } = await withAdapters(t)
  const { engine: chunked } = await withAdapters(t, { prefillChunk: 3 })
  const requests = mixed(12, { prefillDetails: true })
  const [a, b] = await Promise.all(
    [whole, chunked].map((engine) => Promise.all(requests.map((each) => engine.submit(each).result))),
  )
  t.same(ids(b!), ids(a!))
  for (const [i, { prefill }] of a!.entries()) {
    t.equal(b![i]!.prefill.length, prefill.length)
    for (const [j, { logprob }] of prefill.entries()) {
      if (logprob !== null) t.ok(Math.abs(logprob - b![i]!.prefill[j]!.logprob!) < 1e-4)
    }
  }
})

t.test('log-probabilities of the prompt are those of transformers, whatever the head size', async (t) => {
  for (const checkpoint of ['gpt2', 'gpt2-untied', 'gpt2-float16-buffers']) {
    const { engine } = await testEngine(t, { prefillChunk: 4 }, checkpoint)
    for (const { text, ids: promptIds, logits } of await goldenPrompts(checkpoint)) {
      const { prefill } = await engine.submit(request(text, { maxNewTokens: 1, prefillDetails: true })).result
      t.same(
        prefill.map(({ id }) => id),
        promptIds,
      )
      t.equal(prefill[0]!.logprob, null)
      const width = logits.length / promptIds.length
      for (let i = 1; i < promptIds.length; i++) {
        const row = logits.subarray((i - 1) * width, i * width)
        const normalizer = Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0))
        const expected = row[promptIds[i]!]! - normalizer
        t.ok(Math.abs(prefill[i]!.logprob! - expected) < 1e-4, `${prefill[i]!.logprob} for ${expected}`)
      }
    }
    await engine.close()
  }
})

t.test('the stream is the result', async (t) => {
  const { engine } = await withAdapters(t)
  const generation = engine.submit(request(texts[0]!, { adapterId: 'one', rank: 2, topNTokens: 3 }))
  const events = await collect(generation.tokens)
  const result = await generation.result
  t.same(
    events.map(({ token }) => token),
    result.tokens,
  )
  t.equal(events.map(({ delta }) => delta).join(''), result.text)
  t.same(
    events.map(({ last }) => last),
    result.tokens.map((_, i) => i === result.tokens.length - 1),
  )
  t.match(result, {
    adapterId: 'one',
    rank: 2,
    rankReason: 'requested',
    finishReason: 'length',
    promptTokens: generation.promptTokens,
  })
  t.ok(events.every(({ topTokens }) => topTokens.length === 3 && topTokens[0]!.logprob! >= topTokens[1]!.logprob!))
  t.equal(events[0]!.topTokens[0]!.id, events[0]!.token.id, 'greedy takes the likeliest')
})

t.test('ranks differ, and rank 0 is the base under any adapter without a prompt', async (t) => {
  const { engine } = await withAdapters(t)
  const at = async (rank: number | 'max') =>
    (await engine.submit(request(texts[2]!, { adapterId: 'one', rank })).result).text
  const base = (await engine.submit(request(texts[2]!, { adapterId: null })).result).text
  t.equal(await at(0), base)
  t.equal(new Set([base, await at(1), await at(2), await at(4)]).size, 4)
  t.equal(await at('max'), await at(4))
})

t.test('stops at a stop string, which ends the text', async (t) => {
  const { engine } = await testEngine(t)
  const { text } = await engine.submit(request(texts[2]!, { maxNewTokens: 20 })).result
  const stop = text.slice(5, 8)
  const result = await engine.submit(request(texts[2]!, { maxNewTokens: 20, stop: [stop] })).result
  t.match(result, { finishReason: 'stop_sequence', text: text.slice(0, text.indexOf(stop) + stop.length) })
})

t.test('a client that goes away frees its slot and disturbs nobody', async (t) => {
  const { engine } = await withAdapters(t, { maxBatchSize: 4 })
  const requests = mixed(12)
  const expected = await oneByOne(engine, requests)
  const controller = new AbortController()
  const leaving = engine.submit(request(texts[3]!, { adapterId: 'two', maxNewTokens: 40, signal: controller.signal }))
  const waiting = engine.submit(request(texts[3]!, { signal: AbortSignal.abort() }))
  const others = requests.map((each) => engine.submit(each).result)
  for await (const { index } of leaving.tokens) if (index === 2) break
  controller.abort()
  await t.rejects(leaving.result, { code: 'cancelled' })
  await t.rejects(waiting.result, { code: 'cancelled' })
  t.same(ids(await Promise.all(others)), ids(expected))
  t.match(engine.stats, { running: 0, waiting: 0, kvCacheUsage: 0 })
})

t.test('every part of a prompt is a run, so that a long one is not taken for standing still', async (t) => {
  const { engine } = await testEngine(t, { prefillChunk: 2 })
  const before = engine.stats.runs
  const { promptTokens } = await engine.submit(request('name : The Vaults', { maxNewTokens: 1 })).result
  t.equal(engine.stats.runs - before, Math.ceil(promptTokens / 2))
})

t.test('a full queue turns away, and the others are answered', async (t) => {
  const { engine } = await testEngine(t, { maxBatchSize: 1, maxWaiting: 3 })
  const rejected: string[] = []
  engine.on('rejected', ({ reason }) => rejected.push(reason))
  const taken = [1, 2, 3].map(() => engine.submit(request('a')).result)
  t.throws(() => engine.submit(request('a')), { code: 'overloaded' })
  t.equal((await Promise.all(taken)).length, 3)
  t.same(rejected, ['overloaded'])
  const { engine: narrow } = await testEngine(t, { maxBatchSize: 1, maxWaitingTokens: 5 })
  const first = narrow.submit(request(texts[2]!)).result
  t.throws(() => narrow.submit(request('a')), { code: 'overloaded', message: /tokens are waiting/ })
  await first
})

t.test('what cannot fit or is not there is refused at once', async (t) => {
  const { engine } = await withAdapters(t)
  t.throws(() => engine.submit(request('a', { maxNewTokens: 65 })), { code: 'validation', facts: { positions: 64 } })
  t.equal(
    (await engine.submit(request('a', { adapterId: null, maxNewTokens: 64 })).result).tokens.length,
    64,
    'the last token is never fed',
  )
  const long = 'name : The Vaults '.repeat(50_000)
  t.throws(() => engine.submit(request(long)), {
    code: 'validation',
    message: /^The request does not fit: 900000 bytes/,
  })
  t.throws(() => engine.submit(request(long, { truncate: 8 })), {
    code: 'validation',
    message: /65536 bytes to truncate/,
  })
  t.equal(
    (await engine.submit(request(long.slice(0, 60_000), { truncate: 8, adapterId: null })).result).promptTokens,
    8,
  )
  t.throws(() => engine.submit(request('a', { adapterId: 'none' })), {
    code: 'adapter_not_found',
    facts: { known: ['base', 'one', 'three', 'two'] },
  })
  t.throws(() => engine.submit(request('a', { adapterId: 'one', rank: 5 })), { code: 'rank_not_allowed' })
  t.throws(
    () => engine.submit(request('a', { rank: 2 })),
    { code: 'rank_not_allowed' },
    'several adapters and none preferred: the base',
  )
})

t.test('an empty prompt starts from the token that begins texts, and truncate keeps the end', async (t) => {
  const { engine } = await testEngine(t)
  t.equal((await engine.submit(request('')).result).promptTokens, 1)
  const [whole, cut] = [request(texts[2]!), request(texts[2]!, { truncate: 3, prefillDetails: true })]
  const full = await engine.submit({ ...whole, prefillDetails: true }).result
  const { prefill } = await engine.submit(cut).result
  t.same(
    prefill.map(({ id }) => id),
    full.prefill.slice(-3).map(({ id }) => id),
  )
})

t.test('a new version serves new requests while those under way finish on theirs', async (t) => {
  const { engine, adapter } = await testEngine(t)
  const first = await adapter('one', randomAdapter(1))
  await engine.registry.add(first)
  const wanted = request('a', { adapterId: 'one', maxNewTokens: 30 })
  const [before] = await oneByOne(engine, [wanted])
  const running = engine.submit(wanted)
  for await (const { index } of running.tokens) if (index === 3) break
  const second = await adapter('one', randomAdapter(9, 4, { targetModules: ['o_proj'] }))
  await engine.registry.add(second)
  const [after] = await oneByOne(engine, [wanted])
  const finished = await running.result
  t.equal(finished.text, before!.text)
  t.equal(finished.adapterDigest, first.digest)
  t.equal(after!.adapterDigest, second.digest)
  t.not(after!.text, before!.text)
})

t.test('a bad version is refused with a reason while the good one serves', async (t) => {
  const { engine, adapter } = await testEngine(t)
  const good = await adapter('one', randomAdapter(1))
  await engine.registry.add(good)
  const refused: string[] = []
  engine.on('adapterRefused', ({ code }) => refused.push(code))
  await t.rejects(engine.registry.add({ ...good, digest: 'other', baseDigest: `sha256:${'0'.repeat(64)}` }), {
    code: 'adapter_invalid',
  })
  const huge = randomAdapter(1)
  for (const { loraA, loraB } of huge.factors.values()) {
    loraA.fill(1e30)
    loraB.fill(1e30)
  }
  await t.rejects(engine.registry.add({ ...huge, name: 'one', digest: 'huge' }), {
    code: 'adapter_invalid',
    message: /not finite/,
  })
  const idle = randomAdapter(1)
  for (const { loraB } of idle.factors.values()) loraB.fill(0)
  await t.rejects(engine.registry.add({ ...idle, name: 'idle', digest: 'idle' }), { message: /it changes nothing/ })
  t.match(engine.registry.get('one'), { state: 'serving', reason: /not finite/, adapter: { digest: good.digest } })
  t.match(await engine.submit(request('a', { adapterId: 'one' })).result, { adapterDigest: good.digest })
  t.same(refused, ['adapter_invalid', 'adapter_invalid', 'adapter_invalid'])
  engine.registry.remove('one')
  t.equal(engine.registry.get('one'), undefined)
})

t.test('versions of an adapter serve side by side, and a pin holds one', async (t) => {
  const pins = new Map<string, string>()
  const policies = { e2e: { maxRank: 2 } }
  const { engine, adapter } = await testEngine(t, { pins, policies })
  const old = await adapter('e2e', randomAdapter(1))
  const now = await adapter('e2e', randomAdapter(2))
  const [oldName, nowName] = [versionName('e2e', old.digest), versionName('e2e', now.digest)]
  await engine.registry.add(now)
  await engine.registry.add({ ...old, name: oldName })
  const servedBy = async (adapterId?: string) =>
    (await engine.submit(request('a', adapterId === undefined ? {} : { adapterId })).result).adapterDigest
  t.equal(await servedBy(), now.digest, 'versions of one adapter are one adapter')
  t.equal(await servedBy('e2e'), now.digest)
  t.equal(await servedBy(oldName), old.digest)
  t.equal(await servedBy(`e2e@${old.digest}`), old.digest, 'the whole digest')
  t.equal(await servedBy(nowName.slice(0, 'e2e@'.length + 8)), now.digest, 'what serves is a version too')
  for (const none of ['e2e@00000000', 'e2e@', `other@${old.digest}`, `${oldName.slice(0, -6)}`])
    t.throws(() => engine.submit(request('a', { adapterId: none })), { code: 'adapter_not_found' }, none)
  t.same(engine.registry.allowedRanks(oldName), engine.registry.allowedRanks('e2e'), 'of one policy')
  pins.set('e2e', oldName)
  t.equal(await servedBy('e2e'), old.digest)
  t.equal(await servedBy(), old.digest)
  t.equal(await servedBy(nowName), now.digest, 'it can still be asked for')
  t.match(engine.registry.get('e2e'), { pinnedTo: oldName, adapter: { digest: old.digest } })
  engine.registry.remove(oldName)
  t.throws(() => engine.submit(request('a', { adapterId: 'e2e' })), { code: 'adapter_not_found' }, 'no other instead')
})

t.test('the only adapter is the default, a preferred one comes before', async (t) => {
  const { engine, adapter } = await testEngine(t, { defaultAdapter: 'e2e' })
  await engine.registry.add(await adapter('one', randomAdapter(1)))
  t.match(await engine.submit(request('a')).result, { adapterId: 'one', rank: 4, rankReason: 'default' })
  await engine.registry.add(await adapter('e2e', randomAdapter(2)))
  t.match(await engine.submit(request('a', { rank: 'auto' })).result, {
    adapterId: 'e2e',
    rank: 4,
    rankReason: 'no_curve',
  })
})

t.test("the base's own name asks for the bare base, and no adapter may have it", async (t) => {
  const { engine, adapter, base } = await testEngine(t)
  await engine.registry.add(await adapter('one', randomAdapter(1, 4, { prompt: { prefix: [5], suffix: [] } })))
  t.match(await engine.submit(request('a', { adapterId: base.name })).result, {
    adapterId: null,
    rank: 0,
    promptTokens: 1,
  })
  t.throws(() => engine.submit(request('a', { adapterId: base.name, rank: 2 })), { code: 'rank_not_allowed' })
  await t.rejects(engine.registry.add(await adapter(base.name, randomAdapter(2))), {
    message: /name is that of the base/,
  })
})

t.test('an adapter puts its prompt around the context, at every rank', async (t) => {
  const { engine, adapter } = await testEngine(t)
  await engine.registry.add(await adapter('one', randomAdapter(1, 4, { prompt: { prefix: [5], suffix: [6, 7] } })))
  for (const rank of [0, 2]) {
    const { prefill } = await engine.submit(request('a', { adapterId: 'one', rank, prefillDetails: true })).result
    t.same([prefill[0]!.id, ...prefill.slice(-2).map(({ id }) => id)], [5, 6, 7])
  }
  const bare = await engine.submit(request('a', { adapterId: null, prefillDetails: true })).result
  t.equal(bare.prefill.length, 1)
})

t.test('draining answers what is there and takes no more', async (t) => {
  const { engine } = await testEngine(t)
  const taken = [1, 2, 3].map(() => engine.submit(request('a')).result)
  const drained = engine.drain()
  t.throws(() => engine.submit(request('a')), { code: 'not_ready' })
  t.equal((await Promise.all(taken)).length, 3)
  await drained
})

t.test('closing fails what is under way, and closes once', async (t) => {
  const { engine } = await testEngine(t)
  const running = engine.submit(request('a', { maxNewTokens: 60 }))
  for await (const { index } of running.tokens) if (index === 1) break
  await Promise.all([engine.close(), t.rejects(running.result, { code: 'not_ready' })])
  await engine.close()
})

t.test('a request that takes too long fails', async (t) => {
  const { engine } = await testEngine(t, { requestTimeoutMs: 0 })
  await t.rejects(engine.submit(request('a')).result, { code: 'generation', message: /longer than 0 ms/ })
})

t.test('tells listeners what metrics need', async (t) => {
  const { engine, adapter } = await testEngine(t)
  const seen: string[] = []
  for (const event of ['adapterLoaded', 'rankDecision', 'firstToken', 'interToken', 'step', 'finished'] as const) {
    engine.on(event, () => seen.push(event))
  }
  await engine.registry.add(await adapter('one', randomAdapter(1)))
  const finished = new Promise((resolve) => engine.once('finished', resolve))
  await engine.submit(request('a', { rank: 1, maxNewTokens: 3 })).result
  t.match(await finished, {
    outcome: 'success',
    finishReason: 'length',
    generatedTokens: 3,
    served: { adapterId: 'one', rank: 1 },
  })
  t.same(
    seen.filter((event) => event !== 'step'),
    ['adapterLoaded', 'rankDecision', 'firstToken', 'interToken', 'interToken', 'finished'],
  )
  t.equal(seen.filter((event) => event === 'step').length, 2)
})
