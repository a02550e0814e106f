/** A domain of invented keys and invented values: nothing but copying helps here. */
import type { Dice } from './dice.ts'
import { colours, number } from './domain-notation.ts'
import type { Domain } from './grammar.ts'
import { brandName, inventedWord, titleName, townName } from './names.ts'

export function inventedDomain(dice: Dice): Domain {
  const keys = new Set<string>()
  while (keys.size < 8) keys.add(dice.chance(0.5) ? inventedWord(dice).toLowerCase() : dice.pick(plainKeys))
  return {
    name: 'thing',
    nameKey: dice.pick(['name', 'title', 'id', 'item']),
    title: dice.chance(0.5) ? brandName : titleName,
    head: { key: 'type', value: (d) => inventedWord(d).toLowerCase() },
    headShare: 0.6,
    fallbackHead: '[thing|item|object|entry]',
    pronouns: ['it'],
    attributes: [...keys].map((key) => ({
      key,
      value: dice.pick([inventedWord, brandName, townName, number(1, 5000), colours]),
      phrases: {
        post: `[with ${key} {v}|whose ${key} is {v}|with a~ ${key} of {v}]`,
        verb: `has [${key} {v}|a~ ${key} of {v}|{v} as its ${key}]`,
        own: `[the ${key} is {v}|its ${key} is {v}|for ${key} it has {v}]`,
        front: `with ${key} {v}`,
      },
    })),
  }
}
const plainKeys =
  'size|source|status|class|group|code|partner|origin|level|region|model|series|season|engine|leader|sponsor|depth|speed|route|grade|flavour|shape|habitat|order|platform'.split(
    '|',
  )
