/** Venues: the domain closest to E2E, with its keys and kinds of value, and phrasings written for this project. */
import type { Dice } from './dice.ts'
import type { Attribute, Domain, Phrases } from './grammar.ts'
import { inventedWord, personName, townName, venueName } from './names.ts'
import { pricePhrases, prices } from './prices.ts'

const often = (common: readonly string[], rare: readonly string[], share: number) => (dice: Dice) =>
  dice.pick(dice.chance(share) ? common : rare)

const venueTypes = often(
  ['restaurant', 'pub', 'coffee shop'],
  'bar|bistro|inn|diner|cafe|hotel|tea room|wine bar|steakhouse|bakery|brasserie|pizzeria|noodle bar|food truck|gastropub|guest house|hostel|nightclub|tavern|sandwich shop|ice cream parlour|museum|gallery|theatre|cinema|bookshop|gift shop|farm shop|market stall|spa|canteen|juice bar|sushi bar|buffet|club|deli|grill|beach bar|brewery'.split(
    '|',
  ),
  0.55,
)

const cuisines = often(
  ['Italian', 'French', 'Indian', 'Chinese', 'Japanese', 'English', 'Fast food'],
  'Thai|Greek|Spanish|Mexican|Turkish|Korean|Vietnamese|Lebanese|Moroccan|American|German|Polish|Brazilian|Ethiopian|Caribbean|Portuguese|Persian|Russian|Swedish|Irish|Scottish|Welsh|British|Peruvian|Malaysian|Vegetarian|Vegan|Seafood|Barbecue|Street food|Organic|Modern European'.split(
    '|',
  ),
  0.6,
)

/** "Fast food food" and "Seafood food" are not said. */
function foodPhrases(value: string): Phrases {
  const dish = /food|Barbecue/.test(value) ? value.toLowerCase() : '{v} [food|food|food|cuisine|dishes|meals|cooking]'
  const plain = /food|Barbecue/.test(value)
  return {
    pre: plain ? value.toLowerCase() : '{v}',
    post: `[serving|offering|that serves|that offers|with|which serves|selling|that sells|providing|that provides|specialising in] ${dish}`,
    verb: `[serves|serves|offers|offers|provides|sells|specialises in|has|is known for its|does good|makes|features|prepares|is a place for|delivers] ${dish}`,
    own: `[they serve|they offer|the menu [is|features|offers]|the kitchen [serves|prepares|cooks]|the chef cooks|you can [eat|enjoy|order|get|have|try]|customers can [enjoy|order]|they sell|they provide|they have|guests come here for|the food is mostly|on the menu is] ${dish}`,
    front: `[for ${dish}|if you [like|want|fancy|enjoy|love] ${dish}|serving ${dish}|offering ${dish}|if you are looking for ${dish}|specialising in ${dish}]`,
  }
}

const numerals = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten']
const ratings = (dice: Dice): string =>
  dice.weighted([
    [4, 'low'],
    [4, 'average'],
    [4, 'high'],
    [1, dice.pick(['excellent', 'poor', 'good', 'decent', 'mixed'])],
    [6, `${dice.pick([1, 1, 3, 3, 5, 5, 2, 4])} out of 5`],
    [1, `${dice.integer(1, 10)} out of 10`],
    [1, `${dice.integer(1, 5)} stars`],
  ])

function ratingPhrases(value: string): Phrases {
  const scored = /^(\d+) out of (\d+)$/.exec(value)
  if (scored !== null) return scoredPhrases(Number(scored[1]), Number(scored[2]))
  if (/stars$/.test(value)) {
    return {
      post: '[with {v}|with a customer rating of {v}|rated {v} by customers]',
      verb: '[has a customer rating of {v}|is rated {v} by its customers|was given {v} by customers]',
      own: '[customers [give|gave] it {v}|the customer rating is {v}]',
    }
  }
  const adverb: Readonly<Record<string, string>> = {
    low: 'low rated|poorly rated|low - rated|badly rated',
    high: 'highly rated|highly - rated|top rated|well rated|high rated',
    average: 'average rated|averagely rated|average',
    excellent: 'excellently rated',
    poor: 'poorly rated',
    good: 'well rated',
    decent: 'decently rated',
    mixed: 'variously rated',
  }
  return {
    pre: `[${adverb[value]}]`,
    post: '[with a~ {v} customer rating|with a~ {v} rating|with a~ {v} rating from customers|that has a~ {v} customer rating|with {v} customer ratings|with {v} reviews]',
    verb: `[has a~ {v} customer rating|has a~ {v} rating|has received a~ {v} customer rating|receives {v} ratings from customers|has a customer rating that is {v}|is [${adverb[value]}] by customers|gets {v} customer reviews]`,
    own: `[the customer rating is {v}|customers [give|have given] it a~ {v} rating|its customer rating is {v}|it has a~ {v} customer rating|customer ratings are {v}|customers rate it as {v}|their customer rating is {v}]`,
    front: `[with a~ {v} customer rating|with a~ {v} rating from its customers|[${adverb[value]}] by customers]`,
  }
}

function scoredPhrases(score: number, of: number): Phrases {
  const words = `[{v}|{v}|{v}|${numerals[score]} out of ${numerals[of]}|${score} / ${of}]`
  return {
    ...(of === 5 ? { pre: `[${score} star|${score} - star|${numerals[score]} star|${score} out of ${of} rated]` } : {}),
    post: `[with a customer rating of ${words}|with a rating of ${words}|rated ${words}|that is rated ${words}|with a ${words} customer rating|with a ${words} rating]`,
    verb: `[has a customer rating of ${words}|has a rating of ${words}|is rated ${words}|is rated ${words} by customers|has a ${words} customer rating|has received a rating of ${words}|gets ${words} from customers|was rated ${words}]`,
    own: `[the customer rating is ${words}|customers rate it ${words}|customers [give|gave|have given] it ${words}|its customer rating is ${words}|it has a customer rating of ${words}|it is rated ${words}|the rating is ${words}|they have a customer rating of ${words}]`,
    front: `[with a customer rating of ${words}|rated ${words}|rated ${words} by customers|with a rating of ${words}]`,
  }
}

const areas = often(
  ['riverside', 'city centre'],
  'old town|harbour|north side|south side|east end|west end|market square|station quarter|waterfront|suburbs|village|town centre|university district|docklands|park side|lake side|seafront|hills|business district|historic centre'.split(
    '|',
  ),
  0.6,
)

function areaPhrases(value: string): Phrases {
  const place =
    value === 'riverside'
      ? '[in the riverside area|in the riverside area|by the riverside|by the river|at the riverside|on the riverside|along the river|near the riverside|in riverside|in the area of riverside]'
      : '[in the {v}|in the {v}|in the {v} area|in the {v} area|near the {v}|in the area of the {v}|at the {v}]'
  return {
    ...(value === 'riverside' || value === 'city centre' ? { pre: '{v}' } : {}),
    post: `[|located|situated|located|found|that is located|which can be found] ${place}`,
    verb: `is [|located|situated|located|found|based|to be found] ${place}`,
    own: `[it is [|located|situated|found]|you [will|can] find it|it can be found|the location is|it lies|it stands] ${place}`,
    front: `[|located|situated|located] ${place}`,
  }
}

const nearPhrases: Phrases = {
  post: '[|located|situated|that is] [near|near|near|near to|close to|close to|next to|by|beside|not far from|in the vicinity of|adjacent to|right next to|around the corner from|a short walk from] {v}',
  verb: 'is [|located|situated|located|found|just] [near|near|near|near to|close to|close to|next to|by|beside|not far from|right by|across from|opposite] {v}',
  own: '[it is [|located|situated]|you [will|can] find it|it can be found|look for it|it stands] [near|near to|close to|next to|by|beside|not far from] {v}',
  front: '[|located|situated|just] [near|near|close to|next to|by|beside|not far from|close by] {v}',
}

const yes: Phrases = {
  pre: '[family friendly|family - friendly|child friendly|child - friendly|kid friendly|kid - friendly|children friendly|family]',
  post: '[for families|for the whole family|that is family friendly|that welcomes [children|families|kids]|suitable for [families|children]|where children are welcome|which is [child|kid|family] friendly]',
  verb: '[is family friendly|is family - friendly|is child friendly|is [kid|children] friendly|welcomes [children|families|kids]|is suitable for [families|children]|is good for families|caters for families|is a great place for [families|children]|allows children]',
  own: '[children are welcome|families are welcome|kids are welcome|it is [family|child|kid] friendly|it is family - friendly|they are family friendly|bring the [kids|children|whole family]|you can bring your [kids|children|family]|it has a family friendly atmosphere]',
  front: '[for the whole family|for a family meal|for a family day out|family friendly and welcoming]',
}
const no: Phrases = {
  pre: '[non family friendly|non - family - friendly|adult|adults only|adult only]',
  post: '[for adults|for adults only|that is not family friendly|that is not [suitable|meant|recommended] for [children|families|kids]|that does not [allow|admit|welcome] children|which is not [child|kid|family] friendly]',
  verb: '[is not family friendly|is not family - friendly|is not [child|kid] friendly|does not [welcome|allow|admit] children|is not suitable for [children|families]|is for adults only|is not a place for [children|families]|does not cater for families|is no place for kids]',
  own: '[children are not [welcome|allowed]|it is not [family|child|kid] friendly|it is not family - friendly|families should look elsewhere|no children are allowed|they are not family friendly|this is a place for adults|kids are not welcome|leave the [kids|children] at home]',
}

const yesNo = (dice: Dice) => (dice.chance(0.62) ? 'yes' : 'no')

/** The keys of E2E, in E2E's order. */
const venueAttributes: readonly Attribute[] = [
  { key: 'food', value: cuisines, phrases: foodPhrases },
  { key: 'price', value: prices, phrases: pricePhrases },
  { key: 'customer rating', value: ratings, phrases: ratingPhrases },
  { key: 'area', value: areas, phrases: areaPhrases },
  { key: 'family friendly', value: yesNo, phrases: (value) => (value === 'yes' ? yes : no) },
  { key: 'near', value: venueName, phrases: nearPhrases },
]

/** What a venue may have besides. */
const extras: readonly Attribute[] = [
  {
    key: 'owner',
    value: personName,
    phrases: {
      post: '[owned by|run by] {v}',
      verb: '[is owned by|is run by|belongs to] {v}',
      own: '[the owner is|its owner is] {v}',
    },
  },
  {
    key: 'phone',
    value: (dice) => `${dice.integer(100, 999)} ${dice.integer(1000, 9999)}`,
    phrases: {
      verb: '[can be reached at|can be called on] {v}',
      own: '[the phone number is|call|for bookings call|its number is] {v}',
    },
  },
  {
    key: 'street',
    value: (dice) =>
      `${dice.integer(1, 240)} ${townName(dice)} ${dice.pick(['Road', 'Street', 'Lane', 'Avenue', 'Square'])}`,
    phrases: {
      post: '[at|located at] {v}',
      verb: '[is located at|is found at|stands at] {v}',
      own: '[the address is|you will find it at] {v}',
      front: 'at {v}',
    },
  },
  {
    key: 'town',
    value: townName,
    phrases: {
      post: '[in|located in] {v}',
      verb: '[is in|is located in|is found in] {v}',
      own: 'it is in {v}',
      front: 'in {v}',
    },
  },
  {
    key: 'seats',
    value: (dice) => String(dice.integer(10, 300)),
    phrases: {
      post: '[with {v} seats|seating {v} guests]',
      verb: '[seats {v} guests|has {v} seats|has room for {v} people]',
      own: '[there are {v} seats|there is room for {v} guests]',
    },
  },
  {
    key: 'opened',
    value: (dice) => String(dice.integer(1890, 2024)),
    phrases: {
      post: '[opened in|that opened in|dating from] {v}',
      verb: '[opened in|was opened in|has been open since] {v}',
      own: 'it opened in {v}',
      front: 'since {v}',
    },
  },
  {
    key: 'terrace',
    value: yesNo,
    phrases: (value) =>
      value === 'yes'
        ? { post: 'with a terrace', verb: '[has a terrace|offers a terrace]', own: 'there is a terrace' }
        : { post: 'without a terrace', verb: '[has no terrace|does not have a terrace]', own: 'there is no terrace' },
  },
  {
    key: 'music',
    value: (dice) => dice.pick(['jazz', 'folk', 'rock', 'classical', 'piano', 'country', 'soul', 'blues']),
    phrases: {
      post: 'with {v} music',
      verb: '[plays|features] {v} music',
      own: '[there is {v} music|guests can listen to {v} music]',
    },
  },
  {
    key: 'speciality',
    value: (dice) =>
      `${inventedWord(dice)} ${dice.pick(['soup', 'pie', 'stew', 'cake', 'curry', 'salad', 'bread', 'ale', 'coffee'])}`,
    phrases: {
      post: '[famous for|known for] its {v}',
      verb: '[is famous for|is known for] its {v}',
      own: '[try the|do not miss the|the speciality is] {v}',
    },
  },
]

const venue = (name: string, attributes: readonly Attribute[]): Domain => ({
  name,
  nameKey: 'name',
  title: venueName,
  head: { key: 'Type', value: venueTypes },
  headShare: 0.6,
  fallbackHead: '[restaurant|restaurant|place|venue|establishment|spot]',
  pronouns: ['it', 'it', 'it', 'the place'],
  attributes,
})

export const venues = venue('venue', venueAttributes)
export const venuesWithMore = venue('venue with more', [...venueAttributes, ...extras])
