/** What a venue costs: a level, a bound or a range, and how it is said. */
import type { Dice } from './dice.ts'
import type { Phrases } from './grammar.ts'

const cheap = '[cheap|inexpensive|low - priced|affordable|reasonably priced|low cost|budget|cheaply priced]'
const moderate = '[moderately priced|mid - priced|reasonably priced|mid - range|average priced|moderate priced]'
const expensive = '[expensive|high - priced|high priced|pricey|upmarket|costly|high - end]'

const priceWords: Readonly<Record<string, readonly [pre: string, range: string, level: string]>> = {
  cheap: [cheap, '[cheap|low|affordable|inexpensive]', 'cheap'],
  low: [cheap, '[low|cheap]', 'low'],
  moderate: [moderate, '[moderate|mid - range|reasonable|average|medium]', 'moderate'],
  medium: [moderate, '[medium|moderate|average]', 'medium'],
  high: [expensive, '[high|expensive|above average|on the high side]', 'high'],
  expensive: [expensive, '[high|expensive]', 'expensive'],
}

export const prices = (dice: Dice): string => {
  const amount = dice.integer(1, 18) * 5
  const coin = dice.chance(0.75) ? '£' : dice.pick(['$', '€'])
  return dice.weighted([
    [3, 'cheap'],
    [4, 'moderate'],
    [4, 'high'],
    [1, dice.pick(['low', 'medium', 'expensive'])],
    [3, 'less than £ 20'],
    [3, '£ 20 - 25'],
    [3, 'more than £ 30'],
    [2, `less than ${coin} ${amount}`],
    [2, `more than ${coin} ${amount}`],
    [3, `${coin} ${amount} - ${amount + dice.integer(1, 4) * 5}`],
  ])
}

export function pricePhrases(value: string): Phrases {
  const [pre, range] = priceWords[value] ?? []
  if (pre !== undefined && range !== undefined) {
    return {
      pre,
      post: `[with ${range} prices|with a~ ${range} price range|in the {v} price range|at ${range} prices|with {v} prices|whose prices are ${range}]`,
      verb: `[has a~ ${range} price range|has a~ {v} price range|has ${range} prices|is ${pre}|is in the {v} price range|charges ${range} prices|offers ${range} prices]`,
      own: `[the [price range|price] is ${range}|[the|its|their] prices are ${range}|the price range is {v}|expect ${range} prices|they [have|charge|offer] ${range} prices|a meal here is ${pre}|its price range is ${range}]`,
      front: `[with ${range} prices|with a {v} price range|for a~ ${range} price]`,
    }
  }
  const words = moneyWords(value)
  return {
    post: `[with prices ${words}|with a price range of ${words}|for ${words}|with meals ${words}|in the price range of ${words}|, priced ${words}|where meals cost ${words}]`,
    verb: `[has a price range of ${words}|has prices ${words}|costs ${words}|charges ${words}|has a price range ${words}|is priced ${words}|offers meals for ${words}]`,
    own: `[the price range is ${words}|[the|its|their] prices are ${words}|prices [range|are] ${words}|a meal [costs|here costs|will cost you] ${words}|expect to [pay|spend] ${words}|you will pay ${words}|meals cost ${words}|the average price is ${words}|they charge ${words}]`,
    front: `[for ${words}|with a price range of ${words}|with prices ${words}]`,
  }
}

/** "£ 20 - 25" is also written "£ 20- £ 25" or "from £ 20 to £ 25"; the amounts are always copied. */
function moneyWords(value: string): string {
  const range = /^(\S) (\d+) - (\d+)$/.exec(value)
  if (range !== null) {
    const [, coin, from, to] = range
    return `[{v}|{v}|${coin} ${from}- ${coin} ${to}|${coin} ${from} to ${coin} ${to}|between ${coin} ${from} and ${coin} ${to}|${coin} ${from}-${to}]`
  }
  const bound = value.replace(/^(less|more) than /, '')
  return value.startsWith('less') ? `[{v}|{v}|under ${bound}|below ${bound}]` : `[{v}|{v}|over ${bound}|above ${bound}]`
}
