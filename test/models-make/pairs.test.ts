/** The generator of data-to-text pairs: seeded, and faithful to what the context says. */
import t from 'tap'
import { Dice } from '../../models/make/dice.ts'
import { otherDomains } from '../../models/make/domains.ts'
import { drawFrom, drawPair, type Pair } from '../../models/make/pairs.ts'
import { expand, sentence } from '../../models/make/phrase.ts'
import { venues } from '../../models/make/venues.ts'

const draw = (seed: number, count: number): Pair[] => {
  const dice = new Dice(seed)
  return Array.from({ length: count }, () => drawPair(dice))
}
const slots = (context: string) => context.split(' | ').map((part) => part.split(' : ') as [string, string])

t.test('the same seed draws the same pairs, another seed others', (t) => {
  t.same(draw(7, 50), draw(7, 50))
  t.notSame(draw(7, 50), draw(8, 50))
  t.end()
})

t.test('a context is key and value pairs, three to eight of them mostly, none empty', (t) => {
  const sizes = draw(1, 2000).map(({ context }) => {
    const parts = slots(context)
    for (const [key, value] of parts) {
      if (!key || !value || /[|{}[\]~]/.test(key + value)) t.fail(`a slot without a value: ${context}`)
    }
    if (new Set(parts.map(([key]) => key)).size !== parts.length) t.fail(`a key twice: ${context}`)
    return parts.length
  })
  t.equal(Math.max(...sizes), 8)
  t.ok(sizes.filter((size) => size >= 3).length > 0.9 * sizes.length)
  t.end()
})

t.test('every slot is said, in words that stand in the completion', (t) => {
  for (const { context, completion, said } of draw(2, 3000)) {
    const text = completion.toLowerCase()
    for (const [key] of slots(context)) {
      const words = sentence(said.get(key) ?? 'not said at all')
        .replace(/ \.$/, '')
        .toLowerCase()
      if (!text.includes(words)) t.fail(`${key} as '${words}' in: ${completion}`)
    }
  }
  t.end()
})

t.test('names, and what else can only be copied, stand in the completion as they are', (t) => {
  const dice = new Dice(3)
  const copied = new Set([
    'name',
    'near',
    'title',
    'author',
    'director',
    'river',
    'coach',
    'stadium',
    'architect',
    'maker',
  ])
  for (const domain of [venues, ...otherDomains]) {
    for (let i = 0; i < 300; i++) {
      const { context, completion } = drawFrom(domain, dice)
      for (const [key, value] of slots(context)) {
        const found = completion.includes(value) || completion.includes(value.charAt(0).toUpperCase() + value.slice(1))
        if (copied.has(key) && !found) t.fail(`${key} : ${value} in: ${completion}`)
      }
    }
  }
  t.end()
})

t.test('amounts keep their figures, and a no is never said as a yes', (t) => {
  const dice = new Dice(4)
  const denial = /\b(not|no|non|adults?|elsewhere|at home)\b/i
  for (let i = 0; i < 3000; i++) {
    const { context, completion, said } = drawFrom(venues, dice)
    for (const [key, value] of slots(context)) {
      const figures = key === 'price' ? (value.match(/\d+/g) ?? []) : []
      if (!figures.every((figure) => completion.includes(figure))) t.fail(`${value} in: ${completion}`)
      if (key === 'family friendly' && denial.test(said.get(key) ?? '') !== (value === 'no'))
        t.fail(`${value} in: ${completion}`)
    }
  }
  t.end()
})

t.test('completions look like tokenised sentences', (t) => {
  const pairs = draw(5, 3000)
  for (const { completion } of pairs) {
    if (!/^[\p{Lu}\d]/u.test(completion) || !completion.endsWith(' .')) t.fail(`how it begins or ends: ${completion}`)
    if (
      / {2}|[{}[\]~|]|, [,.]|\band \.|\w[,.](?: |$)|\b[Aa] [aeio]\w+ (?!.*\.\s)/.test(
        completion.replace(/\b\w+'s/g, ''),
      )
    )
      t.fail(completion)
  }
  const words = pairs.reduce((sum, { completion }) => sum + completion.split(' ').length, 0) / pairs.length
  t.ok(words > 20 && words < 40, `${words} words on average`)
  t.equal(new Set(pairs.map(({ completion }) => completion)).size, pairs.length)
  t.end()
})

t.test('a template chooses, nests, fills in, and says what it lacks', (t) => {
  const readings = new Set<string>()
  const dice = new Dice(6)
  for (let i = 0; i < 200; i++) readings.add(expand('[one|[two|three] {v}|]!', { v: 'x' }, dice))
  t.same([...readings].sort(), ['!', 'one!', 'three x!', 'two x!'])
  t.equal(sentence('a~ inn , a~ unit and a~  pub'), 'An inn , a unit and a pub .')
  t.throws(() => expand('{w}', {}, dice), { message: 'Expected a value for slot {w}, got none' })
  t.throws(() => expand('[a|b', {}, dice), RangeError)
  t.end()
})
