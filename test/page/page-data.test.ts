/** What the page makes of the service's answers, without a browser. */
import t from 'tap'
import { adapterEvents, type Listed } from '../../src/page/adapter-events.ts'
import type { Adapter, StreamEvent } from '../../src/page/api.ts'
import {
  formatBytes,
  formatCount,
  formatMs,
  formatShare,
  formatTick,
  formatValue,
  metricName,
} from '../../src/page/format.ts'
import { keptSeconds, livePoint, type Scrape, withPoint } from '../../src/page/live-history.ts'
import { parametersOf } from '../../src/page/parameters.ts'
import { parseMetrics, sumOf } from '../../src/page/prometheus-text.ts'
import { autoSentence, measurementName, measurementsOf, policySentence } from '../../src/page/quality-curve.ts'
import { defaultRanks, offeredRanks } from '../../src/page/rank-options.ts'
import { ended, type Run, referenceOf, withToken } from '../../src/page/runs.ts'
import { EventParser } from '../../src/page/server-sent-events.ts'
import { snippetsOf } from '../../src/page/snippets.ts'
import { diffGrowing, diffWords, wordsOf } from '../../src/page/word-diff.ts'

const marked = (words: readonly { text: string; differs: boolean }[]) =>
  words.map(({ text, differs }) => (differs ? `<${text.trim()}>` : text.trim())).join(' ')

t.test('words that the reference does not have are marked', async (t) => {
  t.equal(marked(diffWords('a b c', 'a b c')), 'a b c')
  t.equal(marked(diffWords('a x c', 'a b c')), 'a <x> c')
  t.equal(marked(diffWords('a b c d', 'b d')), '<a> b <c> d')
  t.equal(marked(diffWords('', 'b d')), '')
  t.equal(marked(diffWords('a b', '')), '<a> <b>')
  t.equal(marked(diffWords('b a', 'a b')).includes('<'), true, 'order counts')
})

t.test('the words make the text again, spaces and line breaks included', async (t) => {
  for (const text of [' The  Vaults\nis a pub . ', '', ' ', 'one']) t.equal(wordsOf(text).join(''), text)
})

t.test('while the reference still grows, words beyond its end are not blamed', async (t) => {
  t.equal(marked(diffGrowing('a b c d', 'a b', false)), 'a b c d')
  t.equal(marked(diffGrowing('a x c d', 'a b', false)), 'a <x> c d')
  t.equal(marked(diffGrowing('a b c d', 'a b', true)), 'a b <c> <d>')
})

t.test('events come whole, however the network cuts them', async (t) => {
  const text = ': still here\n\nevent: step\nid: 7\ndata:{"a":1}\n\ndata: one\ndata: two\r\n\r\nnothing\n\n'
  const whole = new EventParser().push(text)
  t.same(whole, [
    { event: 'step', id: '7', data: '{"a":1}' },
    { event: 'message', id: '', data: 'one\ntwo' },
  ])
  for (const size of [1, 2, 3, 5]) {
    const parser = new EventParser()
    const pieces = text.match(new RegExp(`[\\s\\S]{1,${size}}`, 'g')) ?? []
    t.same(
      pieces.flatMap((piece) => parser.push(piece)),
      whole,
      `in pieces of ${size}`,
    )
  }
})

t.test('metrics are read with labels, escapes and infinities', async (t) => {
  const samples = parseMetrics(`# HELP a_total Something
a_total{adapter="e2e",rank="4"} 3
a_total{adapter="a \\"b\\" \\\\n c"} 4.5e1
b_bucket{le="+Inf"} 7
c +Inf 1700000000
`)
  t.equal(sumOf(samples, 'a_total'), 48)
  t.equal(samples.get('a_total')?.[1]?.labels.adapter, 'a "b" \\n c')
  t.equal(sumOf(samples, 'c'), Number.POSITIVE_INFINITY)
  t.equal(sumOf(samples, 'nothing'), null)
})

const scrape = (time: number, tokens: number, steps: number, rows: number): Scrape => ({
  time,
  samples: parseMetrics(
    `dylora_requests_running 3\ndylora_requests_waiting 1\ndylora_kv_cache_usage_ratio 0.25
dylora_generation_tokens_total{rank="1"} ${tokens / 2}\ndylora_generation_tokens_total{rank="4"} ${tokens / 2}
dylora_batch_size_sum ${rows}\ndylora_batch_size_count ${steps}
dylora_batch_distinct_ranks_sum ${2 * steps}\ndylora_batch_distinct_ranks_count ${steps}\n`,
  ),
})

t.test('counters tell by their difference, and nothing across a restart or a gap', async (t) => {
  const first = scrape(100, 50, 10, 30)
  t.match(livePoint(null, first), { running: 3, waiting: 1, cacheUsage: 0.25, tokensPerSecond: null, batchSize: null })
  t.same(livePoint(first, scrape(102, 90, 20, 70)), {
    ...{ time: 102, running: 3, waiting: 1, cacheUsage: 0.25 },
    ...{ tokensPerSecond: 20, batchSize: 4, distinctRanks: 2 },
  })
  t.equal(livePoint(first, scrape(102, 50, 10, 30)).batchSize, null, 'nothing ran')
  t.equal(livePoint(first, scrape(102, 4, 2, 6)).tokensPerSecond, null, 'the server was started anew')
  t.match(livePoint(first, { time: 102, samples: null }), { running: null, tokensPerSecond: null })
})

t.test('the history keeps the last minutes', async (t) => {
  const point = (time: number) => livePoint(null, scrape(time, 0, 0, 0))
  const history = [point(0), point(10), point(keptSeconds)]
  t.same(
    withPoint(history, point(keptSeconds + 5)).map(({ time }) => time),
    [10, keptSeconds, keptSeconds + 5],
  )
})

t.test('adapters come, change, are refused and go', async (t) => {
  const adapter = (id: string, digest: string | null, reason: string | null = null): Listed => ({
    ...{ id, digest, reason, state: reason === null ? 'serving' : 'refused' },
  })
  const at = new Date(0)
  const told = (before: readonly Listed[] | null, now: readonly Listed[]) =>
    adapterEvents(before, now, at).map(({ adapter: id, kind, text }) => `${id} ${kind}: ${text}`)
  const [one, two] = ['sha256:1111111111112222', 'sha256:3333333333334444']
  t.same(told(null, [adapter('a', one)]), ['a serving: serves 111111111111'])
  t.same(told([adapter('a', one)], [adapter('a', one)]), [])
  t.same(told([adapter('a', one)], [adapter('a', two)]), ['a changed: changed to 333333333333'])
  t.same(told([adapter('a', one)], []), ['a gone: is gone'])
  t.same(told([], [adapter('b', null, 'no factors')]), ['b refused: was refused: no factors'])
  t.same(told([adapter('a', one)], [adapter('a', one, 'too wide')]), [
    'a refused: was refused: too wide (111111111111 goes on serving)',
  ])
})

t.test('numbers are told with as many figures as they are worth', async (t) => {
  t.same([0, 0.4631, 1.25194, 69.634, 123.44, 1234.5].map(formatValue), [
    '0',
    '0.463',
    '1.252',
    '69.63',
    '123.4',
    '1,235',
  ])
  t.same([0, 0.871, 12.34, 345.6, 1200].map(formatMs), ['0.00 ms', '0.87 ms', '12.3 ms', '346 ms', '1.20 s'])
  t.same([0, 512, 55_296, 442_368, 3e9].map(formatBytes), ['0 B', '512 B', '54.0 KiB', '432 KiB', '2.8 GiB'])
  t.same([13_824, 7].map(formatCount), ['13,824', '7'])
  t.same([0, 0.054, 0.5, 1].map(formatShare), ['0.0 %', '5.4 %', '50 %', '100 %'])
  t.same([62.5, 1234, 0.1 + 0.2].map(formatTick), ['62.5', '1,234', '0.3'])
  t.same(['bleu', 'made_up'].map(metricName), ['BLEU', 'made up'])
})

const quality = (metric: string, value: number, more: object = {}) => ({
  ...{ dataset: 'e2e', split: 'validation' as const, metric, value, ci95: null, n: 9 },
  ...{ higher_is_better: true, primary: false, ...more },
})
const none = { count: 0, p50: 0, p90: 0, p99: 0 }
const adapter = (values: readonly number[], auto: Adapter['auto'], metric = 'bleu', more: object = {}) =>
  ({
    ...{
      id: 'e2e',
      state: 'serving',
      reason: null,
      is_default: true,
      pinned_to: null,
      resident: true,
      digest: 'sha256:1',
      base_model: 'b',
    },
    ...{ base_digest: 'd', method: 'dylora', max_rank: values.length, lora_alpha: 16, scaling: 'alpha/b' },
    ...{ target_modules: [], auto, policy: {} },
    ranks: values.map((value, i) => ({
      ...{ rank: i + 1, parameters: 1, bytes: 4, baselines: [] },
      quality: [quality('nist', value / 10), quality(metric, value, { primary: true, ...more })],
      latency: { time_to_first_token_ms: none, inter_token_ms: none, total_ms: none },
    })),
  }) satisfies Adapter

t.test('the metric that auto reads comes first, and why it chose is said in its own numbers', async (t) => {
  const e2e = adapter([50, 59.6, 60], { rank: 2, reason: 'auto' })
  t.same(measurementsOf(e2e).map(measurementName), ['BLEU · e2e, validation', 'NIST · e2e, validation'])
  t.equal(
    autoSentence(e2e, 0.99),
    'auto takes rank 2: the smallest whose BLEU on e2e (validation), 59.60, is within 99\u00a0% of the best, 60.00.',
  )
  const loss = adapter([3, 2.01, 2], { rank: 2, reason: 'auto' }, 'perplexity', { higher_is_better: false })
  t.match(
    autoSentence(loss, 0.985),
    /perplexity on e2e \(validation\), 2\.010, is within 98\.5\u00a0% of the best, 2\.000/,
  )
  const bare = { ...e2e, auto: { rank: 3, reason: 'no_curve' } }
  t.equal(autoSentence(bare, 0.99), 'auto takes rank 3, the highest: this adapter carries no validation curve.')
  const bounded = {
    ...e2e,
    auto: { rank: 1, reason: 'max_rank' },
    policy: { max_rank: 1, default_rank: 'auto' as const },
  }
  t.equal(autoSentence(bounded, 0.99), 'auto takes rank 1, the highest that its operator allows here.')
  t.equal(
    policySentence(bounded),
    ' By its policy, a request that names no rank gets auto, and no rank above 1 is served.',
  )
  t.equal(policySentence(e2e), '')
})

t.test('only settings that change something are sent', async (t) => {
  const greedy = { max_new_tokens: 60, temperature: 0, top_p: 1, top_k: 0, repetition_penalty: 1, seed: 42 }
  t.same(parametersOf(greedy), { max_new_tokens: 60 })
  t.same(parametersOf({ ...greedy, temperature: 0.7 }), {
    ...{ max_new_tokens: 60, temperature: 0.7, do_sample: true, seed: 42 },
  })
})

t.test('the code asks for what the page asks for, in the words of each client', async (t) => {
  const request = { origin: 'http://h:1/p', adapter: "it's", rank: '4', inputs: "a 'b'\n", keyed: false }
  const code = (parameters: object) => snippetsOf({ ...request, parameters }).map((snippet) => snippet.code)
  const [curl = '', tgi = '', openai = ''] = code({ max_new_tokens: 9 })
  t.match(curl, `curl -N 'http://h:1/p/generate_stream?rank=4&adapter_id=it%27s'`)
  t.match(curl, `"inputs": "a '\\''b'\\''\\n"`, 'what a shell would take apart is escaped')
  t.match(tgi, `endpointUrl: "http://h:1/p/generate?rank=4&adapter_id=it%27s"`)
  t.match(
    openai,
    /baseURL: "http:\/\/h:1\/p\/v1".*"model": "it's",.*"rank": "4",\s+"temperature": 0,\s+"max_tokens": 9\n/s,
  )
  const [, , sampled = ''] = code({ temperature: 0.7, do_sample: true, seed: 3 })
  t.match(sampled, /"rank": "4",\s+"temperature": 0.7,\s+"seed": 3\n/)
  t.notMatch(code({ top_k: 5 })[2], /temperature/)
  t.notMatch(code({}).join(), /DYLORA_API_KEY/)
  for (const { code, label } of snippetsOf({ ...request, parameters: {}, keyed: true }))
    t.match(code, 'DYLORA_API_KEY', label)
})

t.test('the ranks to begin with are base, 1, 4 and the highest, as far as there are any', async (t) => {
  const e2e = adapter([1, 2, 3, 4, 5], null)
  t.same(defaultRanks(e2e), ['base', '1', '4', 'max'])
  t.same(defaultRanks({ ...e2e, max_rank: 2 }), ['base', '1', 'max'])
  t.same(defaultRanks({ ...e2e, method: 'lora' }), ['base', 'max'])
  t.same(defaultRanks(null), ['base'])
  const bounded = { ...e2e, policy: { max_rank: 3 } }
  t.same(defaultRanks(bounded), ['base', '1', 'max'])
  t.same(offeredRanks(bounded, []), ['base', '1', '2', '3', 'max', 'auto'], 'no rank that its policy excludes')
})

t.test('a run grows token by token, and its last event settles the text', async (t) => {
  const fresh: Run = {
    ...{ rank: 'auto', state: 'waiting' as const, text: '', tokens: 0 },
    ...{ firstTokenMs: null, totalMs: 0, details: null, failure: null },
  }
  const event = (text: string, whole: string | null = null): StreamEvent => ({
    ...{ index: 0, token: { id: 1, text, logprob: 0, special: false }, generated_text: whole, details: null },
  })
  const one = withToken(fresh, event(' a'), 5)
  t.match(one, { text: ' a', tokens: 1, firstTokenMs: 5, totalMs: 5, state: 'streaming' })
  t.match(withToken(one, event('?', ' a é'), 9), { text: ' a é', tokens: 2, firstTokenMs: 5, totalMs: 9 })
  t.match(ended(one), { state: 'failed', failure: /broke off/, text: ' a' }, 'without its last event it is not whole')
  const details = { rank: 4 } as NonNullable<Run['details']>
  t.match(ended({ ...one, details }), { state: 'done', failure: null })
})

t.test('the others are compared with the highest rank that answered', async (t) => {
  const run = (rank: string, more: object = {}) => ({ rank, details: null, failure: null, ...more }) as unknown as Run
  t.equal(referenceOf([run('base'), run('4'), run('1')])?.rank, '4')
  t.equal(referenceOf([run('4'), run('max'), run('1')])?.rank, 'max')
  t.equal(referenceOf([run('4'), run('max', { failure: 'refused' })])?.rank, '4')
  t.equal(referenceOf([]), undefined)
})
