/** Decisions between a request and its weights: shares, policies and caps. */
import t from 'tap'
import { isComparable, isInShare, keyOf, rankCap } from '../../src/inference/live-selection.ts'
import { policyFault, type RankedAdapter, resolveRank } from '../../src/inference/rank-choice.ts'
import { greedySampling, type RankRequest } from '../../src/inference/request.ts'
import { request } from '../fixtures/engine.ts'

const values = new Map([
  [1, 50],
  [2, 60],
  [4, 65],
  [8, 65.2],
])
const quality = [...values].map(([rank, value]) => ({
  ...{ rank, value, dataset: 'e2e', split: 'validation', metric: 'bleu', ci95: null, n: 100 },
  ...{ higherIsBetter: true, primary: true },
})) as RankedAdapter['quality']
const adapter: RankedAdapter = { ranks: [1, 2, 4, 8], maxRank: 8, quality }

t.test('a share is the same requests each time, about as many as it says, and inside every larger one', async (t) => {
  const keys = Array.from({ length: 4000 }, (_, i) => `request-${i}`)
  const taken = (share: number) => new Set(keys.filter((key) => isInShare('canary', key, share)))
  const [small, large] = [taken(0.1), taken(0.3)]
  t.same(taken(0.1), small)
  t.ok(Math.abs(small.size / keys.length - 0.1) < 0.02, String(small.size))
  t.ok(Math.abs(large.size / keys.length - 0.3) < 0.03, String(large.size))
  t.ok([...small].every((key) => large.has(key)))
  t.equal(taken(0).size, 0)
  t.equal(taken(1).size, keys.length)
  t.notSame(
    [...small],
    keys.filter((key) => isInShare('shadow', key, 0.1)),
    'each purpose draws for itself',
  )
})

t.test('the seed decides before the id of the request, and that before the words', async (t) => {
  const seeded = { ...greedySampling, seed: 7 }
  t.equal(keyOf(request('a', { key: 'id', sampling: seeded })), keyOf(request('b', { key: 'other', sampling: seeded })))
  t.equal(keyOf(request('a', { key: 'id' })), 'id')
  t.equal(keyOf(request('a')), 'a')
})

t.test('a policy bounds every rank, and says what a request gets that names none', async (t) => {
  const policy = { defaultRank: 'auto', maxRank: 2 } as const
  const resolve = (rank: RankRequest | undefined, minQuality?: number) =>
    resolveRank(adapter, rank, minQuality, { policy })
  t.same(resolve('max'), { rank: 2, reason: 'max', requested: 'max' })
  t.same(resolve(1), { rank: 1, reason: 'requested', requested: 1 })
  t.same(resolve('auto', 0.9), { rank: 2, reason: 'auto', requested: 'auto' })
  t.same(resolve('auto'), { rank: 2, reason: 'max_rank', requested: 'auto' }, 'where 4 would have been good enough')
  t.same(resolve(undefined), resolve('auto'))
  t.throws(() => resolve(4), { code: 'rank_not_allowed', facts: { allowed: [0, 1, 2, 'max', 'auto', 'base'] } })
  const fixed = { policy: { defaultRank: 4 } }
  t.same(resolveRank(adapter, undefined, undefined, fixed), { rank: 4, reason: 'default', requested: 4 })
  t.same(resolveRank(adapter, 'max', undefined, fixed).rank, 8)
  t.same(resolveRank({ ...adapter, quality: [] }, 'auto', undefined, { policy }), {
    rank: 2,
    reason: 'no_curve',
    requested: 'auto',
  })
})

t.test('a policy that an adapter cannot follow says why', async (t) => {
  t.equal(policyFault(adapter, { defaultRank: 4, maxRank: 5 }), null)
  t.match(policyFault(adapter, { defaultRank: 4, maxRank: 2 }), 'expected one of 0, 1, 2, max, auto, base')
  t.match(policyFault(adapter, { defaultRank: 3 }), 'defaultRank 3')
  t.match(
    policyFault({ ...adapter, ranks: [4, 8] }, { maxRank: 2 }),
    'maxRank 2 of its policy is below its lowest rank, 4',
  )
})

t.test('pressure caps what auto takes, and nothing that was asked for', async (t) => {
  t.equal(rankCap({ maxRank: 2, waiting: 3 }, 2), undefined)
  t.equal(rankCap({ maxRank: 2, waiting: 3 }, 3), 2)
  t.equal(rankCap(undefined, 1000), undefined)
  const under = (rank: RankRequest | undefined, cap: number) => resolveRank(adapter, rank, undefined, { cap })
  t.same(under('auto', 3), { rank: 2, reason: 'pressure', requested: 'auto' })
  t.same(under('auto', 4), { rank: 4, reason: 'auto', requested: 'auto' }, 'a cap that changes nothing is no reason')
  t.same(under('auto', 0), { rank: 1, reason: 'pressure', requested: 'auto' }, 'the lowest trained one at least')
  for (const rank of [8, 'max', undefined] as const) t.equal(under(rank, 1).rank, 8, String(rank))
  const policy = { maxRank: 2 }
  t.match(resolveRank(adapter, 'auto', undefined, { policy, cap: 1 }), { rank: 1, reason: 'pressure' })
})

t.test('answers are compared where each token is the likeliest one', async (t) => {
  t.ok(isComparable(request('a')))
  const others = [
    { sampling: { ...greedySampling, temperature: 1 } },
    { sampling: { ...greedySampling, repetitionPenalty: 1.2 } },
    { sampling: { ...greedySampling, noRepeatNgramSize: 3 } },
    { beamSearch: { beams: 2, lengthPenalty: 1, earlyStopping: false } },
    { bestOf: 2 },
  ]
  for (const other of others) t.notOk(isComparable(request('a', other)), JSON.stringify(other))
})
