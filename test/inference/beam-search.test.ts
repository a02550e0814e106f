/** Beam search against transformers' own, alone and in a batch with everybody else. */
import t from 'tap'
import { readTokenizer } from '../../src/dylora/tokenizer.ts'
import { Engine } from '../../src/inference/engine.ts'
import { LogitProcessors } from '../../src/inference/logit-processors.ts'
import {
  type BeamSearchParameters,
  type GenerateRequest,
  greedySampling,
  paperDecoding,
} from '../../src/inference/request.ts'
import { randomAdapter } from '../fixtures/adapters.ts'
import { type GoldenBeams, goldenBeams, goldenNewTokens } from '../fixtures/beams.ts'
import { request, testEngine } from '../fixtures/engine.ts'

const search = (beams: number, changes: Partial<BeamSearchParameters> = {}): BeamSearchParameters => ({
  ...{ beams, lengthPenalty: 1, earlyStopping: false },
  ...changes,
})

const requestOf = (golden: GoldenBeams): GenerateRequest =>
  request(golden.prompt, {
    maxNewTokens: goldenNewTokens,
    beamSearch: search(golden.beams, golden),
    sampling: { ...greedySampling, ...pick(golden) },
  })

const pick = ({ repetitionPenalty, noRepeatNgramSize }: GoldenBeams) => ({ repetitionPenalty, noRepeatNgramSize })

const ids = ({ tokens }: { tokens: readonly { id: number }[] }) => tokens.map(({ id }) => id)

const engineOf = ({ checkpoint, eos }: GoldenBeams) => `${checkpoint}, texts end at ${eos.join(' and ')}`

const groups = new Map<string, GoldenBeams[]>()
for (const golden of goldenBeams()) groups.set(engineOf(golden), [...(groups.get(engineOf(golden)) ?? []), golden])

for (const [name, cases] of groups) {
  t.test(`the texts and scores of transformers: ${name}`, async (t) => {
    const { checkpoint, eos } = cases[0]!
    const { base } = await testEngine(t, {}, checkpoint)
    const engine = await Engine.create({
      base: { ...base, eosTokenIds: [...eos] },
      tokenizer: await readTokenizer(base.directory),
      ...{ device: 'cpu', intraOpNumThreads: 1, maxBatchSize: 23 },
    })
    t.teardown(() => engine.close())
    const together = await Promise.all(cases.map((golden) => engine.submit(requestOf(golden)).result))
    for (const [i, { tokens, score, ...golden }] of cases.entries()) {
      const found = together[i]!
      t.same(ids(found), tokens, JSON.stringify(golden))
      t.ok(Math.abs((found.score ?? 0) - score) < 2e-5 * Math.max(1, Math.abs(score)), `${found.score} for ${score}`)
    }
    t.equal(engine.stats.running, 0)
  })
}

const text = 'name : Blue Spice | Type : coffee shop'

t.test(
  'a search is the same alone and among sampled, greedy and searched texts of other adapters and ranks',
  async (t) => {
    const { engine, adapter } = await testEngine(t, { maxBatchSize: 16, prefillChunk: 5 })
    for (const [i, name] of ['one', 'two'].entries())
      await engine.registry.add(await adapter(name, randomAdapter(i + 1)))
    const requests = Array.from({ length: 40 }, (_, i) =>
      request(`${text} ${i % 7}`, {
        adapterId: [null, 'one', 'two'][i % 3] ?? null,
        rank: i % 3 === 0 ? undefined : [1, 4, 2][i % 4],
        maxNewTokens: 5 + (i % 13),
        sampling: { ...greedySampling, noRepeatNgramSize: i % 4, ...(i % 5 === 0 && { temperature: 1, seed: i }) },
        ...(i % 5 > 1 && { beamSearch: search([2, 10, 5, 16][i % 4]!, { lengthPenalty: 0.8 }) }),
        ...(i % 10 === 0 && { bestOf: 3 }),
      }),
    )
    const alone = []
    for (const each of requests) alone.push(await engine.submit(each).result)
    const together = await Promise.all(requests.map((each) => engine.submit(each).result))
    t.same(together.map(ids), alone.map(ids))
    t.ok(new Set(alone.map((result) => result.text)).size > 20, 'the answers differ from each other')
    t.match(engine.stats, { running: 0, waiting: 0, kvCacheUsage: 0 })
  },
)

t.test('no n-gram comes twice in prompt and output, with or without a search', async (t) => {
  const { engine } = await testEngine(t)
  for (const n of [1, 2, 3]) {
    for (const beamSearch of [undefined, search(4)]) {
      const sampling = { ...greedySampling, noRepeatNgramSize: n }
      const prompt = 'name : a name'
      const { tokens, prefill } = await engine.submit(
        request(prompt, { sampling, beamSearch, maxNewTokens: 40, prefillDetails: true }),
      ).result
      const promptIds = prefill.map(({ id }) => id)
      const all = [...promptIds, ...tokens.map(({ id }) => id)]
      const ngrams = all.slice(n - 1).map((_, i) => all.slice(i, i + n).join())
      const ofPrompt = promptIds.slice(n - 1).map((_, i) => promptIds.slice(i, i + n).join())
      t.equal(new Set(ngrams).size, ngrams.length - (ofPrompt.length - new Set(ofPrompt).size), `${n}`)
    }
  }
})

t.test("the paper's decoding may say again what the prompt says, but not what it said itself", async (t) => {
  const { engine } = await testEngine(t)
  const { tokens } = await engine.submit(request(text, { ...paperDecoding, maxNewTokens: 40 })).result
  const ngrams = tokens.slice(3).map((_, i) => ids({ tokens: tokens.slice(i, i + 4) }).join())
  t.equal(new Set(ngrams).size, ngrams.length)
  const promptIds = (await engine.submit(request(text, { prefillDetails: true })).result).prefill.map(({ id }) => id)
  const logits = new Float32Array(300)
  const after = { prompt: promptIds, generated: promptIds.slice(0, 3) }
  t.same(new LogitProcessors(paperDecoding.sampling).apply(logits, after), logits)
})

t.test('one beam is greedy decoding', async (t) => {
  const { engine } = await testEngine(t)
  const greedy = await engine.submit(request(text)).result
  t.same(ids(await engine.submit(request(text, { beamSearch: search(1) })).result), ids(greedy))
})

t.test('more beams find no less likely text, and the score is what its tokens add up to', async (t) => {
  const { engine } = await testEngine(t, { maxBatchSize: 32 })
  const { tokens, score } = await engine.submit(
    request(text, { maxNewTokens: 3, beamSearch: search(32, { lengthPenalty: 2 }) }),
  ).result
  const sum = tokens.reduce((total, { logprob }) => total + logprob!, 0)
  t.ok(Math.abs(score! - sum / tokens.length ** 2) < 1e-5)
  const greedy = await engine.submit(request(text, { maxNewTokens: 3 })).result
  t.ok(sum >= greedy.tokens.reduce((total, { logprob }) => total + logprob!, 0))
})

t.test('a hypothesis ends at a stop string, also one across tokens', async (t) => {
  const { engine } = await testEngine(t)
  // Without a length penalty the first to end wins.
  const beamSearch = search(4, { lengthPenalty: 0 })
  const whole = await engine.submit(request(text, { beamSearch, maxNewTokens: 20 })).result
  const stop = whole.text.slice(3, 6)
  const found = await engine.submit(request(text, { beamSearch, maxNewTokens: 20, stop: [stop] })).result
  t.equal(found.finishReason, 'stop_sequence')
  t.ok(found.text.endsWith(stop))
  t.equal(found.text.indexOf(stop), found.text.length - stop.length)
})

t.test('the stream of a search comes at its end, and is the result', async (t) => {
  const { engine } = await testEngine(t)
  const running = engine.submit(request(text, { beamSearch: search(3), topNTokens: 2 }))
  const events = []
  for await (const event of running.tokens) events.push(event)
  const result = await running.result
  t.same(
    events.map(({ token }) => token),
    result.tokens,
  )
  t.same(
    events.map(({ topTokens }) => topTokens),
    result.topTokens,
  )
  t.equal(events.map(({ delta }) => delta).join(''), result.text)
  t.same(
    events.map(({ last }) => last),
    result.tokens.map((_, i) => i === result.tokens.length - 1),
  )
})

t.test('a search that is given up frees all its slots, before, during and after its prefill', async (t) => {
  const { engine } = await testEngine(t, { maxBatchSize: 8, prefillChunk: 2 })
  const expected = await engine.submit(request(text, { beamSearch: search(5) })).result
  const controllers = Array.from({ length: 12 }, () => new AbortController())
  const leaving = controllers.map(({ signal }) =>
    engine.submit(request(text, { beamSearch: search(7), maxNewTokens: 40, signal })),
  )
  const staying = Array.from({ length: 6 }, () => engine.submit(request(text, { beamSearch: search(5) })))
  for (const [i, controller] of controllers.entries()) {
    for (let turn = 0; turn < i; turn++) await new Promise((resolve) => setImmediate(resolve))
    controller.abort()
    await t.rejects(leaving[i]!.result, { code: 'cancelled' })
  }
  for (const { result } of staying) t.same(ids(await result), ids(expected))
  t.match(engine.stats, { running: 0, waiting: 0, kvCacheUsage: 0 })
})

t.test('a search takes its slots at once, and waits for them', async (t) => {
  const { engine } = await testEngine(t, { maxBatchSize: 4 })
  const sizes: number[] = []
  engine.on('step', ({ batchSize }) => sizes.push(batchSize))
  const results = [3, 4, 2, 2].map((beams) => engine.submit(request(text, { beamSearch: search(beams) })).result)
  await Promise.all(results)
  t.ok(sizes.every((size) => size <= 4))
  t.ok(sizes.includes(4))
})

t.test('more beams than places, and beams that sample, are refused at once', async (t) => {
  const { engine } = await testEngine(t, { maxBatchSize: 4 })
  const refused = (changes: Partial<GenerateRequest>, message: RegExp) =>
    t.throws(() => engine.submit(request(text, changes)), { code: 'validation', message })
  refused({ beamSearch: search(5) }, /num_beams 5 needs 5 places in the batch, there are 4/)
  refused({ beamSearch: search(0) }, /num_beams: expected a whole number/)
  refused({ beamSearch: search(2), sampling: { ...greedySampling, temperature: 1 } }, /does not sample/)
  refused({ bestOf: 5, sampling: { ...greedySampling, temperature: 1 } }, /best_of 5 needs 5 places/)
  refused({ bestOf: 2 }, /best_of: expected sampling/)
  refused({ bestOf: 2, beamSearch: search(2) }, /one best text/)
})
