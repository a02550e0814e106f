import t from 'tap'
import { Generate, GenerateQuery, wantedOf } from '../../src/server/generate-request.ts'

const signal = new AbortController().signal

const wanted = (body: object, query: object = {}) =>
  wantedOf(GenerateQuery.parse(query), Generate.parse({ inputs: 'x', ...body }), () => [0, 1, 'max'], signal)

const sampling = (parameters: object) => wanted({ parameters }).request.sampling

t.test('is greedy, 100 tokens, the default adapter and its highest rank unless told otherwise', async (t) => {
  const { request, details, fullText } = wanted({})
  t.match(request, {
    inputs: 'x',
    maxNewTokens: 100,
    stop: [],
    sampling: { temperature: 0, topK: 0, topP: 1, minP: 0 },
  })
  t.equal(request.adapterId, undefined)
  t.equal(request.rank, undefined)
  t.notOk(details)
  t.notOk(fullText)
})

t.test('takes null for absent, everywhere', async (t) => {
  const names = Object.keys(Generate.shape.parameters.unwrap().unwrap().shape)
  const nulls = Object.fromEntries(names.map((name) => [name, null]))
  t.same(wanted({ parameters: nulls, stream: null }), wanted({}))
  t.same(wanted({ parameters: null }), wanted({}))
})

t.test('samples at temperature 1 when a parameter of sampling is given without a temperature', async (t) => {
  for (const parameters of [{ do_sample: true }, { top_k: 5 }, { top_p: 0.9 }, { min_p: 0.1 }, { typical_p: 0.9 }]) {
    t.equal(sampling(parameters).temperature, 1, JSON.stringify(parameters))
  }
})

t.test('takes temperature 0 for greedy, and any other at its word', async (t) => {
  t.equal(sampling({ temperature: 0, do_sample: true, top_k: 5 }).temperature, 0)
  t.equal(sampling({ temperature: 0.7, do_sample: false }).temperature, 0.7)
})

t.test('does not sample for a seed or a penalty alone', async (t) => {
  t.match(sampling({ seed: 7, repetition_penalty: 1.2 }), { temperature: 0, seed: 7, repetitionPenalty: 1.2 })
})

t.test('tells details when the tokens of the prompt are asked for', async (t) => {
  const { details, request } = wanted({ parameters: { decoder_input_details: true } })
  t.ok(details)
  t.ok(request.prefillDetails)
})

t.test('refuses what is not implemented by name, and accepts the values that change nothing', async (t) => {
  const refused = { watermark: true, ignore_eos_token: true }
  for (const [name, value] of Object.entries(refused)) {
    const { error } = Generate.safeParse({ inputs: 'x', parameters: { [name]: value } })
    t.match(error?.issues, [{ path: ['parameters', name], message: new RegExp(`'${name}' is not implemented`) }])
  }
  const neutral = {
    typical_p: 1,
    best_of: 1,
    num_beams: 1,
    length_penalty: 1,
    early_stopping: false,
    no_repeat_ngram_size: 0,
    watermark: false,
  }
  t.ok(Generate.safeParse({ inputs: 'x', parameters: neutral }).success)
})

t.test('takes the parameters of a beam search, with the defaults of transformers', async (t) => {
  const search = (parameters: object) => wanted({ parameters }).request.beamSearch
  t.same(search({ num_beams: 4 }), { beams: 4, lengthPenalty: 1, earlyStopping: false })
  t.same(search({ num_beams: 10, length_penalty: 0.8, early_stopping: 'never' }), {
    beams: 10,
    lengthPenalty: 0.8,
    earlyStopping: 'never',
  })
  t.equal(search({ num_beams: 1, length_penalty: 1, early_stopping: false }), undefined, 'one beam is none')
  t.throws(() => search({ length_penalty: 2 }), { code: 'validation', message: /length_penalty needs num_beams/ })
  t.throws(() => search({ num_beams: 1, early_stopping: true }), { message: /early_stopping needs num_beams/ })
})

t.test('takes best_of, typical_p and no_repeat_ngram_size', async (t) => {
  t.match(wanted({ parameters: { best_of: 3, do_sample: true, typical_p: 0.9, no_repeat_ngram_size: 4 } }).request, {
    bestOf: 3,
    sampling: { temperature: 1, typicalP: 0.9, noRepeatNgramSize: 4 },
  })
  t.match(wanted({}).request, {
    bestOf: 1,
    sampling: { typicalP: 1, noRepeatNgramSize: 0, noRepeatNgramScope: 'prompt_and_output' },
  })
  t.equal(sampling({ no_repeat_ngram_scope: 'output' }).noRepeatNgramScope, 'output')
})

t.test('refuses unknown keys at every level', async (t) => {
  t.notOk(Generate.safeParse({ inputs: 'x', model: 'y' }).success)
  t.notOk(Generate.safeParse({ inputs: 'x', parameters: { max_tokens: 5 } }).success)
  t.notOk(GenerateQuery.safeParse({ ranks: '4' }).success)
})

t.test('refuses values outside their range', async (t) => {
  const wrong = [
    { max_new_tokens: 0 },
    { max_new_tokens: 1.5 },
    { temperature: -1 },
    { top_p: 0 },
    { top_p: 1.1 },
    { top_k: -1 },
    { repetition_penalty: 0 },
    { seed: -1 },
    { stop: 'text' },
    { stop: [''] },
    { stop: Array.from({ length: 17 }, (_, index) => `${index}`) },
    { truncate: 0 },
    { typical_p: 0 },
    { typical_p: 1.1 },
    { best_of: 0 },
    { num_beams: 0 },
    { num_beams: 2.5 },
    { num_beams: 65 },
    { length_penalty: '1' },
    { early_stopping: 'always' },
    { no_repeat_ngram_size: -1 },
    { no_repeat_ngram_scope: 'prompt' },
    { min_quality: 0 },
    { details: 'yes' },
    { adapter_id: '' },
  ]
  for (const parameters of wrong) {
    t.notOk(Generate.safeParse({ inputs: 'x', parameters }).success, JSON.stringify(parameters))
  }
})

t.test('refuses two different adapters, and takes one that is named twice', async (t) => {
  t.throws(() => wanted({ parameters: { adapter_id: 'a' } }, { adapter_id: 'b' }), { code: 'validation' })
  t.equal(wanted({ parameters: { adapter_id: 'a' } }, { adapter_id: 'a' }).request.adapterId, 'a')
  t.equal(wanted({}, { adapter_id: 'b' }).request.adapterId, 'b')
})
