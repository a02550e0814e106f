/** Texts that follow a grammar: whatever the model would rather say, and whoever shares the batch. */
import t, { type Test } from 'tap'
import type { Engine } from '../../src/inference/engine.ts'
import { Grammars } from '../../src/inference/grammar/grammars.ts'
import { type GenerateRequest, greedySampling } from '../../src/inference/request.ts'
import { request, testEngine } from '../fixtures/engine.ts'

const json = (schema: unknown) => ({ kind: 'json', text: JSON.stringify(schema), pointer: '/grammar' }) as const
const regex = (text: string) => ({ kind: 'regex', text, pointer: '/grammar' }) as const

const flags = {
  type: 'object',
  properties: { open: { type: 'boolean' }, kind: { enum: ['pub', 'bar'] } },
  required: ['open', 'kind'],
  additionalProperties: false,
}

const sampled = (seed: number) => ({ ...greedySampling, temperature: 1, seed })

const ask = (engine: Engine, changes: Partial<GenerateRequest>) =>
  engine.submit(request('a', { maxNewTokens: 60, ...changes })).result

async function setup(t: Test, options = {}) {
  const { engine } = await testEngine(t, options)
  return engine
}

t.test('a model of random weights writes JSON of the schema, greedy or sampled, alone or among others', async (t) => {
  const engine = await setup(t)
  const plain = await ask(engine, { maxNewTokens: 9 })
  const grammar = await engine.prepareGrammar(json(flags))
  const settings = [greedySampling, ...Array.from({ length: 12 }, (_, seed) => sampled(seed))]
  const runs = settings.map((sampling) => ask(engine, { grammar, sampling }))
  const others = Array.from({ length: 4 }, () => ask(engine, { maxNewTokens: 9 }))
  const kinds = new Set<string>()
  for (const { text, finishReason } of await Promise.all(runs)) {
    t.equal(finishReason, 'eos_token', text)
    const value = JSON.parse(text) as { open: boolean; kind: string }
    t.same(Object.keys(value), ['open', 'kind'])
    t.type(value.open, 'boolean')
    t.ok(['pub', 'bar'].includes(value.kind))
    kinds.add(value.kind)
  }
  t.equal(kinds.size, 2, 'the draw is still the model’s')
  for (const { text } of await Promise.all(others)) t.equal(text, plain.text, 'requests without one are not touched')
  t.same((await ask(engine, { grammar, sampling: sampled(3) })).text, (await runs[4])?.text, 'the same seed')
  t.equal(engine.stats.grammarTexts, 0)
})

t.test('a text matches its regular expression whole, within top-k and with penalties', async (t) => {
  const engine = await setup(t)
  for (const pattern of ['[a-c]{2,4}-\\d{1,3}', '(yes|no)( thanks)?', 'Café \\d\\d €']) {
    const grammar = await engine.prepareGrammar(regex(pattern))
    for (const sampling of [
      greedySampling,
      { ...sampled(1), topK: 3, repetitionPenalty: 1.5 },
      { ...sampled(2), minP: 0.2 },
    ]) {
      const { text, finishReason } = await ask(engine, { grammar, sampling })
      t.match(text, new RegExp(`^(?:${pattern})$`))
      t.equal(finishReason, 'eos_token')
    }
  }
})

t.test('several texts of a request follow it each on its own', async (t) => {
  const engine = await setup(t)
  const grammar = await engine.prepareGrammar(json(flags))
  const { text, others } = await ask(engine, { grammar, sampling: sampled(1), bestOf: 4 })
  for (const one of [text, ...others.map((other) => other.text)]) t.ok(JSON.parse(one), one)
  t.throws(
    () => engine.submit(request('a', { grammar, beamSearch: { beams: 2, lengthPenalty: 1, earlyStopping: false } })),
    {
      code: 'validation',
      message: /beam search follows no grammar/,
    },
  )
})

t.test('what cannot be followed is refused with the reason, and harms nobody who follows another', async (t) => {
  const engine = await setup(t)
  const grammar = await engine.prepareGrammar(
    json({ type: 'array', items: { type: 'integer' }, minItems: 12, maxItems: 12 }),
  )
  const running = ask(engine, { grammar, sampling: sampled(4), maxNewTokens: 64 })
  for (const [spec, reason] of [
    [json({ type: 'wat' }), /Unsupported type "wat"/],
    [regex('(['), /Regex parsing error/],
    [regex(''), /got an empty one/],
    [{ ...json({}), text: '{' }, /expected a JSON schema/],
    [{ ...json({}), text: '[]' }, /which is an object/],
    [regex('a'.repeat(70_000)), /at most 65536 characters, got 70000/],
  ] as const) {
    await t.rejects(engine.prepareGrammar(spec), {
      code: 'validation',
      message: reason,
      facts: { pointer: '/grammar' },
    })
  }
  t.match((await running).text, /^\[(-?\d+, ?){0,}/)
  t.ok(
    JSON.parse((await ask(engine, { grammar: await engine.prepareGrammar(json(flags)) })).text),
    'and another works after',
  )
  t.equal(engine.stats.grammarTexts, 0)
})

t.test('who leaves, or is cut short, leaves nothing behind', async (t) => {
  const engine = await setup(t, { maxBatchSize: 2 })
  const grammar = await engine.prepareGrammar(json({ type: 'string', minLength: 40 }))
  const controllers = Array.from({ length: 8 }, () => new AbortController())
  const runs = controllers.map(({ signal }, seed) => ask(engine, { grammar, signal, sampling: sampled(seed) }))
  for (const [i, controller] of controllers.entries()) {
    await new Promise((resolve) => setTimeout(resolve, i))
    controller.abort()
  }
  await Promise.allSettled(runs)
  const cut = await ask(engine, { grammar, maxNewTokens: 3 })
  t.equal(cut.finishReason, 'length')
  t.match(engine.stats, { grammarTexts: 0, running: 0, waiting: 0 })
})

t.test('a base that cannot end a text follows none', async (t) => {
  const grammars = new Grammars({ tokens: ['a', 'b'], vocabSize: 2, eosTokenIds: [] })
  await t.rejects(grammars.prepare(regex('a')), { code: 'validation', message: /no token that ends a text/ })
  await grammars.close()
})
