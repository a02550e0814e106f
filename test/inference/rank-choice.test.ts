/** Rank requests: what each form gives, what is refused, and how `auto` reads the quality curve. */
import fc from 'fast-check'
import t from 'tap'
import type { QualityPoint } from '../../src/dylora/adapter.ts'
import { autoChoice, type RankedAdapter, resolveRank } from '../../src/inference/rank-choice.ts'
import type { RankRequest } from '../../src/inference/request.ts'

const ranks = [1, 2, 4, 8]

function point(rank: number, value: number, overrides: Partial<QualityPoint> = {}): QualityPoint {
  const constant = { dataset: 'e2e', split: 'validation', metric: 'bleu', ci95: null, n: 100 } as const
  return { ...constant, rank, value, higherIsBetter: true, primary: true, ...overrides }
}

function adapter(quality: readonly QualityPoint[] = []): RankedAdapter {
  return { ranks, maxRank: 8, quality }
}

const rising = adapter([point(1, 0.5), point(2, 0.62), point(4, 0.66), point(8, 0.664)])

t.test('each form of a request gives its rank and its reason', async (t) => {
  const cases: [RankRequest | undefined, object][] = [
    [4, { rank: 4, reason: 'requested', requested: 4 }],
    [0, { rank: 0, reason: 'base', requested: 0 }],
    [undefined, { rank: 8, reason: 'default', requested: 'max' }],
    ['max', { rank: 8, reason: 'max', requested: 'max' }],
    ['auto', { rank: 4, reason: 'auto', requested: 'auto' }],
  ]
  for (const [request, expected] of cases) t.strictSame(resolveRank(rising, request), expected, String(request))
})

t.test('a number is served as it is or refused with what is allowed, never clamped', async () => {
  fc.assert(
    fc.property(fc.oneof(fc.integer({ min: -3, max: 20 }), fc.double()), (rank) => {
      if (rank === 0 || ranks.includes(rank)) return resolveRank(rising, rank).rank === Math.abs(rank)
      try {
        resolveRank(rising, rank)
        return false
      } catch (error) {
        t.match(error, { code: 'rank_not_allowed', facts: { rank, allowed: [0, 1, 2, 4, 8, 'max', 'auto', 'base'] } })
        return true
      }
    }),
  )
})

t.test('the bare base has no rank to choose', async (t) => {
  for (const request of [undefined, 0, 'max', 'auto'] as const) {
    t.match(resolveRank(null, request), { rank: 0, reason: 'base', requested: request ?? 'max' })
  }
  t.throws(() => resolveRank(null, 4), { code: 'rank_not_allowed', facts: { rank: 4, allowed: [0, 'base'] } })
})

t.test('auto takes the smallest rank that is good enough', async (t) => {
  t.equal(autoChoice(rising, 1).rank, 8)
  t.equal(autoChoice(rising, 0.9).rank, 2)
  t.equal(autoChoice(rising, 0.01).rank, 1)
  t.equal(autoChoice(adapter([point(8, 100), point(2, 99)])).rank, 2, 'the bound itself is good enough')
})

t.test('where lower is better the ratio is inverted', async (t) => {
  const lower = { metric: 'perplexity', higherIsBetter: false }
  const falling = adapter([point(1, 12, lower), point(4, 10.1, lower), point(8, 10, lower)])
  t.equal(autoChoice(falling).rank, 4)
  t.equal(autoChoice(falling, 0.995).rank, 8)
  t.equal(autoChoice(falling, 0.8).rank, 1)
})

t.test('values at and below zero keep their order', async (t) => {
  t.equal(autoChoice(adapter([point(1, -110), point(2, -101), point(8, -100)])).rank, 2)
  t.equal(autoChoice(adapter([point(1, -0.1), point(8, 0)])).rank, 8)
  const loss = { higherIsBetter: false }
  t.equal(autoChoice(adapter([point(1, 0.1, loss), point(8, 0, loss)])).rank, 8)
  t.equal(autoChoice(adapter([point(1, -90, loss), point(2, -99, loss), point(8, -100, loss)])).rank, 2)
})

t.test('only primary validation points of one metric at trained ranks count', async (t) => {
  const others = [
    point(0, 2),
    point(3, 2),
    point(1, 2, { split: 'test' }),
    point(1, 2, { primary: false }),
    point(1, Number.NaN),
  ]
  t.match(autoChoice(adapter(others)), { rank: 8, reason: 'no_curve' })
  t.match(autoChoice(adapter([...others, ...rising.quality, point(1, 50, { metric: 'nist' })])), { rank: 4 })
  const searched = point(1, 2, { decoding: 'num_beams=10' })
  t.match(
    autoChoice(adapter([...rising.quality, searched])),
    { rank: 4 },
    'texts of another decoding are another curve',
  )
})

t.test('without a curve auto is the highest rank and says so', async (t) => {
  t.strictSame(resolveRank(adapter(), 'auto'), { rank: 8, reason: 'no_curve', requested: 'auto' })
})

t.test('the order of the points is no matter, and the choice is good enough', async () => {
  const share = fc.double({ min: 0, minExcluded: true, max: 1, noNaN: true })
  const values = fc.tuple(...ranks.map(() => fc.double({ min: -10, max: 10, noNaN: true })))
  fc.assert(
    fc.property(values, share, (values, share) => {
      const points = ranks.map((rank, i) => point(rank, values[i] ?? 0))
      const { rank } = autoChoice(adapter(points), share)
      const chosen = values[ranks.indexOf(rank)] ?? Number.NaN
      const best = Math.max(...values)
      const better = best > 0 ? chosen >= share * best : share * chosen >= best
      return better && autoChoice(adapter(points.toReversed()), share).rank === rank
    }),
  )
})

t.test('a minimal quality that is no ratio is refused, whatever the rank', async (t) => {
  for (const minQuality of [0, -1, 1.01, Number.NaN, Number.POSITIVE_INFINITY]) {
    const expected = { code: 'validation', facts: { pointer: '/parameters/min_quality' } }
    t.throws(() => autoChoice(rising, minQuality), expected, String(minQuality))
    t.throws(() => resolveRank(rising, 4, minQuality), expected, String(minQuality))
  }
})
