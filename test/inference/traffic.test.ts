/** Random traffic against one-at-a-time answers: whoever comes, goes or is taken away meanwhile, no answer changes. */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { hasCode } from '../../src/errors.ts'
import type { Engine, EngineOptions } from '../../src/inference/engine.ts'
import { type GenerateRequest, type GenerateResult, greedySampling } from '../../src/inference/request.ts'
import { randomAdapter } from '../fixtures/adapters.ts'
import { request, testEngine } from '../fixtures/engine.ts'

const texts = [
  'a',
  'name : The Vaults',
  'The quick brown fox',
  'Café 🙂',
  'x y z x y z',
  'name : The Vaults | Type : pub',
  'name : The Vaults | Type : pub | near : Café',
]

const anySampling = fc.oneof(
  fc.constant({}),
  fc.record({
    temperature: fc.constantFrom(0.7, 1, 2),
    seed: fc.nat(99),
    topK: fc.constantFrom(0, 5, 40),
    topP: fc.constantFrom(1, 0.8),
    minP: fc.constantFrom(0, 0.05),
    typicalP: fc.constantFrom(1, 0.7),
  }),
)

const anyPenalties = fc.record({
  repetitionPenalty: fc.constantFrom(1, 1.3),
  frequencyPenalty: fc.constantFrom(0, 0.5),
  presencePenalty: fc.constantFrom(0, -0.5),
  noRepeatNgramSize: fc.constantFrom(0, 2, 3),
})

const anyBeams = fc.record({
  beams: fc.integer({ min: 1, max: 4 }),
  lengthPenalty: fc.constantFrom(0, 0.8, 2),
  earlyStopping: fc.constantFrom(false, true, 'never' as const),
})

/** What is asked; adapters by the names of `weights`. */
const anyRequest: fc.Arbitrary<GenerateRequest> = fc
  .record({
    inputs: fc.constantFrom(...texts),
    priority: fc.constantFrom('live' as const, 'live' as const, 'background' as const),
    adapterId: fc.constantFrom(null, 'steady', 'changing'),
    rank: fc.constantFrom(0, 1, 3, 'max' as const),
    maxNewTokens: fc.integer({ min: 1, max: 10 }),
    sampling: anySampling,
    penalties: anyPenalties,
    search: fc.option(anyBeams, { nil: undefined, freq: 2 }),
    texts: fc.integer({ min: 1, max: 4 }),
    stop: fc.constantFrom([], [], ['e'], ['st', 'a ']),
    topNTokens: fc.constantFrom(0, 2),
  })
  .map(({ sampling, penalties, search, texts, rank, ...rest }) => {
    const samples = 'temperature' in sampling
    return request('', {
      ...rest,
      rank: rest.adapterId === null ? undefined : rank,
      sampling: { ...greedySampling, ...sampling, ...penalties },
      ...(samples ? { bestOf: texts } : { beamSearch: search }),
    })
  })

const maybeLeaves = fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.nat(25) })

/** What happens, and after how many turns of the event loop the next thing does. */
const anyHappening = fc.record({
  pause: fc.nat(6),
  what: fc.oneof(
    { weight: 8, arbitrary: fc.record({ request: anyRequest, leavesAfter: maybeLeaves }) },
    { weight: 1, arbitrary: fc.constantFrom('add first' as const, 'add second' as const, 'remove' as const) },
  ),
})

const pause = async (turns: number) => {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve))
}

const replyOf = ({ text, tokens, topTokens, finishReason, seed, promptTokens, others }: GenerateResult) => ({
  ...{ text, finishReason, seed, promptTokens, tokens: tokens.map(({ id }) => id) },
  topTokens: topTokens.map((top) => top.map(({ id }) => id)),
  others: others.map(({ text }) => text),
})

const versions = {
  first: randomAdapter(2, 4, { targetModules: ['k_proj', 'o_proj'], prompt: { prefix: [5], suffix: [] } }),
  second: randomAdapter(3, 5),
}

async function traffic(t: Parameters<typeof testEngine>[0], options: Partial<EngineOptions>) {
  const { engine, adapter } = await testEngine(t, options)
  await engine.registry.add(await adapter('steady', randomAdapter(1)))
  return {
    engine,
    first: await adapter('changing', versions.first),
    second: await adapter('changing', versions.second),
  }
}

/** Answers one at a time, by what serves as `changing`; each question once. */
async function oneAtATime(t: Parameters<typeof testEngine>[0]) {
  const { engine, adapter } = await testEngine(t)
  const names = new Map<string, string>()
  for (const [name, content] of Object.entries({ ...versions, steady: randomAdapter(1) })) {
    const written = await adapter(name, content)
    names.set(written.digest, name)
    await engine.registry.add(written)
  }
  const answers = new Map<string, Promise<GenerateResult>>()
  let last: Promise<unknown> = Promise.resolve()
  return (asked: GenerateRequest, digest: string | null): Promise<GenerateResult> => {
    const alone = {
      ...asked,
      priority: 'live' as const,
      adapterId: digest === null ? null : (names.get(digest) ?? 'unknown'),
    }
    const key = JSON.stringify(alone)
    const answer = answers.get(key) ?? last.then(() => engine.submit(alone).result)
    answers.set(key, answer)
    last = answer.catch(() => {})
    return answer
  }
}

/** Submits; gives what came of it once it is over: a result, or null for a client that left or an adapter that is gone. */
async function outcome(engine: Engine, asked: GenerateRequest, leavesAfter: number | null) {
  const controller = new AbortController()
  try {
    const running = engine.submit({ ...asked, signal: controller.signal })
    if (leavesAfter !== null) void pause(leavesAfter).then(() => controller.abort())
    return await running.result
  } catch (error) {
    if (hasCode(error, 'cancelled') && leavesAfter !== null) return null
    if (hasCode(error, 'adapter_not_found') || hasCode(error, 'rank_not_allowed')) return null
    throw error
  }
}

const settings: Readonly<Record<string, Partial<EngineOptions>>> = {
  'few slots and rows': { maxBatchSize: 4, prefillChunk: 3, maxRankRows: 7, maxBackgroundSlots: 4 },
  'many slots': { maxBatchSize: 16, prefillChunk: 5, maxBackgroundSlots: 5 },
  'prompts that are kept': { maxBatchSize: 6, prefillChunk: 7, maxBackgroundSlots: 4, prefixCacheBytes: 60_000 },
}

for (const [name, options] of Object.entries(settings)) {
  t.test(`any mix of requests is answered as one at a time, with ${name}`, async (t) => {
    const alone = await oneAtATime(t)
    const { engine, first, second } = await traffic(t, options)
    let answered = 0
    await fc.assert(
      fc.asyncProperty(fc.array(anyHappening, { minLength: 4, maxLength: 14 }), async (happenings) => {
        const outcomes: Promise<void>[] = []
        for (const { pause: turns, what } of happenings) {
          if (what === 'remove') engine.registry.remove('changing')
          else if (what === 'add first') outcomes.push(engine.registry.add(first))
          else if (what === 'add second') outcomes.push(engine.registry.add(second))
          else {
            const compare = async () => {
              const result = await outcome(engine, what.request, what.leavesAfter)
              if (result === null) return
              const expected = await alone(what.request, result.adapterDigest)
              assert.deepEqual(replyOf(result), replyOf(expected))
              answered++
            }
            outcomes.push(compare())
          }
          await pause(turns)
        }
        await Promise.all(outcomes)
        const { running, waiting, background, kvCacheUsage } = engine.stats
        return running === 0 && waiting === 0 && background === 0 && kvCacheUsage === 0
      }),
      { numRuns: 40 },
    )
    if (options.prefixCacheBytes !== undefined) t.ok((engine.stats.prefixCache?.hits ?? 0) > 0, 'some were known')
    t.ok(answered > 80, `${answered} answers were compared`)
  })
}
