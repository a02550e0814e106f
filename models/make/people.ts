/** People, he and she. */
import { attribute, domain, languages, words, year } from './domain-notation.ts'
import type { Domain } from './grammar.ts'
import { brandName, inventedWord, personName, townName } from './names.ts'

export const people: readonly Domain[] = (['he', 'she'] as const).map((pronoun) =>
  domain(
    'person',
    'name',
    personName,
    'occupation',
    'actor|painter|teacher|doctor|engineer|farmer|writer|singer|lawyer|nurse|pilot|chef|architect|journalist|scientist|baker|sailor|photographer|athlete|politician|musician|carpenter|librarian',
    pronoun,
    [
      attribute('born in', townName, '[was born in|is originally from|comes from|grew up in] {v}', {
        post: '[from|born in] {v}',
        front: 'born in {v}',
      }),
      attribute('birth year', year, '[was born in|has lived since] {v}', {
        post: 'born in {v}',
        own: `the year of birth is {v}`,
      }),
      attribute('works for', brandName, '[works for|works at|is employed by|has a job at] {v}', {
        post: '[at|working for|employed by] {v}',
      }),
      attribute('lives in', townName, '[lives in|resides in|has a house in|now lives in] {v}', {
        post: '[living in|who lives in] {v}',
        own: '{v} is home',
      }),
      attribute('speaks', languages, '[speaks|is fluent in|knows|teaches] {v}', {
        pre: '{v} - speaking',
        own: 'the language spoken at home is {v}',
      }),
      attribute('married to', personName, '[is married to|is the partner of] {v}', {
        own: '{v} is the spouse',
      }),
      attribute(
        'hobby',
        words('sailing|gardening|chess|cooking|climbing|reading|fishing|dancing|cycling|painting|hiking|pottery'),
        '[enjoys|likes|loves|spends weekends] {v}',
        { own: '[a favourite hobby is|the hobby is] {v}' },
      ),
      attribute(
        'award',
        (dice) => `${inventedWord(dice)} ${dice.pick(['Prize', 'Medal', 'Award', 'Cup'])}`,
        '[won|received|was awarded|holds] the {v}',
        {
          post: 'who won the {v}',
          front: 'winner of the {v}',
        },
      ),
    ],
  ),
)
