/** Short forms in which the domains are written: an attribute is a key, its values, and how to say it. */
import type { Dice } from './dice.ts'
import type { Attribute, Domain } from './grammar.ts'

export const words = (text: string) => {
  const items = text.split('|')
  return (dice: Dice) => dice.pick(items)
}
export const number =
  (from: number, to: number, unit = '') =>
  (dice: Dice) =>
    `${dice.integer(from, to)}${unit === '' ? '' : ` ${unit}`}`

export const countries = words(
  'France|Italy|Spain|Norway|Japan|India|Brazil|Canada|Kenya|Egypt|Greece|Turkey|Mexico|Chile|Peru|Poland|Ireland|Scotland|Wales|England|Iceland|Finland|Austria|Hungary|Portugal|Morocco|Nigeria|Ghana|Vietnam|Thailand|Indonesia|Australia|New Zealand|Argentina|Denmark|Sweden|Belgium',
)
export const languages = words(
  'English|French|Spanish|Italian|German|Polish|Hindi|Bengali|Arabic|Turkish|Greek|Japanese|Korean|Mandarin|Portuguese|Dutch|Swedish|Welsh|Irish|Swahili|Finnish|Russian',
)
export const colours = words(
  'red|blue|green|yellow|black|white|orange|purple|silver|gold|grey|brown|pink|turquoise|dark blue|light green',
)
export const genres = words(
  'crime|romantic|historical|comic|fantasy|horror|war|adventure|detective|science fiction|political|Gothic',
)
export const sports = words(
  'football|rugby|cricket|hockey|basketball|handball|volleyball|rowing|chess|cycling|water polo|baseball|curling',
)
export const materials = words(
  'wood|steel|leather|cotton|glass|plastic|aluminium|bamboo|wool|stone|brick|concrete|ceramic',
)
export const year = number(1850, 2024)

/** An attribute said by a verb phrase, and by whatever else is given. */
export const attribute = (
  key: string,
  value: (dice: Dice) => string,
  verb: string,
  rest: Omit<Exclude<Attribute['phrases'], (v: string) => unknown>, 'verb'> = {},
): Attribute => ({
  key,
  value,
  phrases: { verb, ...rest },
})

export const domain = (
  name: string,
  nameKey: string,
  title: Domain['title'],
  headKey: string,
  heads: string,
  pronouns: string,
  attributes: readonly Attribute[],
): Domain => ({
  name,
  nameKey,
  title,
  head: { key: headKey, value: words(heads) },
  headShare: 0.92,
  fallbackHead: name,
  pronouns: pronouns.split('|'),
  attributes,
})
