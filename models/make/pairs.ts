/** Synthetic data-to-text pairs: a context of `key : value` parts and a sentence or three that says them all. */
import type { Dice } from './dice.ts'
import { otherDomains } from './domains.ts'
import { type Attribute, type Domain, type Fact, type Saying, say } from './grammar.ts'
import { inventedDomain } from './invented.ts'
import { venues, venuesWithMore } from './venues.ts'

export interface Pair {
  readonly context: string
  readonly completion: string
  /** For every key the words that say it, as they stand in the completion (but for a capital). */
  readonly said: ReadonlyMap<string, string>
}

/** How many attributes beside the name: E2E has three to eight slots in all. */
const sizes: readonly (readonly [number, number])[] = [
  [1, 2],
  [3, 3],
  [5, 4],
  [6, 5],
  [6, 6],
  [4, 7],
]

export function drawPair(dice: Dice): Pair {
  const domain = dice.weighted<() => Domain>([
    [60, () => venues],
    [12, () => venuesWithMore],
    [22, () => dice.pick(otherDomains)],
    [6, () => inventedDomain(dice)],
  ])()
  return drawFrom(domain, dice)
}

export function drawFrom(domain: Domain, dice: Dice): Pair {
  const size = dice.weighted(sizes)
  const name = domain.title(dice)
  const head = dice.chance(domain.headShare) ? domain.head.value(dice) : null
  const count = Math.min(domain.attributes.length, size - (head === null ? 0 : 1))
  const chosen = new Set(dice.shuffle(domain.attributes).slice(0, Math.max(1, count)))
  const facts = domain.attributes.filter((attribute) => chosen.has(attribute)).map((attribute) => draw(attribute, dice))
  const saying = say(domain, { name, head, facts }, dice)
  const parts = [
    `${domain.nameKey} : ${name}`,
    ...(head === null ? [] : [`${domain.head.key} : ${head}`]),
    ...facts.map(({ key, value }) => `${key} : ${value}`),
  ]
  return pairOf(dice.chance(0.85) ? parts : dice.shuffle(parts), saying)
}

function draw({ key, value, phrases }: Attribute, dice: Dice): Fact {
  const drawn = value(dice)
  return { key, value: drawn, phrases: typeof phrases === 'function' ? phrases(drawn) : phrases }
}

const pairOf = (parts: readonly string[], { text, said }: Saying): Pair => ({
  context: parts.join(' | '),
  completion: text,
  said,
})
