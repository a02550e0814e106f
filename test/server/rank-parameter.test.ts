import t from 'tap'
import { parseRank, rankOf } from '../../src/server/rank-parameter.ts'

const allowed = () => [0, 1, 2, 'max', 'auto']

t.test('reads whole numbers and the three words', async (t) => {
  const ranks = { '4': 4, '0': 0, max: 'max', auto: 'auto', base: 0, '128': 128 }
  for (const [text, rank] of Object.entries(ranks)) t.equal(parseRank(text), rank, text)
  t.equal(parseRank(8), 8)
})

t.test('takes nothing else for a rank', async (t) => {
  const others = [
    '',
    ' 4',
    '4 ',
    '04',
    '+4',
    '-1',
    '4.0',
    '2.5',
    '0x4',
    '1e1',
    'four',
    'MAX',
    'toString',
    '9'.repeat(20),
  ]
  for (const value of [...others, 2.5, -1, Number.NaN, true, ['4', '4'], {}, []]) {
    t.equal(parseRank(value), null, JSON.stringify(value))
    t.throws(() => rankOf(value, undefined, allowed), { code: 'rank_not_allowed', facts: { allowed: allowed() } })
  }
})

t.test('takes the rank of query or body, or of both when they agree', async (t) => {
  t.equal(rankOf(undefined, undefined, allowed), undefined)
  t.equal(rankOf('4', undefined, allowed), 4)
  t.equal(rankOf(undefined, 'auto', allowed), 'auto')
  t.equal(rankOf('4', 4, allowed), 4)
  t.equal(rankOf('base', 0, allowed), 0)
  t.equal(rankOf('4', null, allowed), 4)
})

t.test('refuses a query and a body that contradict each other, and names what is allowed', async (t) => {
  t.throws(() => rankOf('4', 3, allowed), { code: 'validation', facts: { allowed: allowed() } })
  t.throws(() => rankOf('max', 8, allowed), { code: 'validation' })
})

t.test('repeats no more of a wrong rank than a line', async (t) => {
  t.throws(() => rankOf('x'.repeat(10_000), undefined, allowed), { message: /^.{1,200}$/ })
})
