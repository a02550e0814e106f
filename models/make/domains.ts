/** The other domains: people, towns, books, teams and more, each with its own keys, so that no key set is special. */
import {
  attribute,
  colours,
  countries,
  domain,
  genres,
  languages,
  materials,
  number,
  sports,
  words,
  year,
} from './domain-notation.ts'
import type { Domain } from './grammar.ts'
import { brandName, inventedWord, personName, titleName, townName } from './names.ts'
import { people } from './people.ts'

export const otherDomains: readonly Domain[] = [
  ...people,
  domain('town', 'name', townName, 'type', 'town|city|village|port|resort|capital|suburb', 'it', [
    attribute('country', countries, '[is in|is located in|lies in|belongs to] {v}', {
      post: 'in {v}',
      front: 'in {v}',
      own: 'the country is {v}',
    }),
    attribute(
      'population',
      number(300, 900000),
      '[has a population of|has|is home to] {v} [people|inhabitants|residents]',
      { post: 'of {v} people', own: '[the population is|the number of inhabitants is] {v}' },
    ),
    attribute('river', inventedWord, '[lies on|stands on|is on] the [river {v}|{v} river]', {
      post: 'on the [river {v}|{v}]',
      own: 'the river {v} runs through it',
    }),
    attribute('mayor', personName, '[is led by|is governed by] {v}', {
      own: '[the mayor is|its mayor is] {v}',
      post: 'whose mayor is {v}',
    }),
    attribute(
      'known for',
      words(
        'cheese|wine|glass|its bridge|its castle|its market|music|lace|fishing|its university|pottery|steel|its beach|its cathedral|roses',
      ),
      '[is known for|is famous for|is best known for] {v}',
      { post: '[known for|famous for] {v}', own: 'visitors come for {v}' },
    ),
    attribute('founded', number(900, 1950), '[was founded in|dates from|goes back to] {v}', {
      post: 'founded in {v}',
      own: 'it was founded in {v}',
      front: 'founded in {v}',
    }),
    attribute('elevation', number(2, 2400, 'm'), '[lies {v} above the sea|has an elevation of {v}]', {
      own: 'the elevation is {v}',
    }),
    attribute('near', townName, 'is [near|close to|not far from|next to] {v}', {
      post: '[near|close to|next to|not far from] {v}',
      front: '[near|close to] {v}',
    }),
  ]),
  domain('book', 'title', titleName, 'type', 'novel|book|story|play|poem|memoir|biography|textbook', 'it|the book', [
    attribute('author', personName, '[was written by|is by|is the work of] {v}', {
      post: '[by|written by] {v}',
      own: '[the author is|its author is] {v}',
    }),
    attribute('genre', genres, 'belongs to the {v} genre', { pre: '{v}', own: 'its genre is {v}' }),
    attribute('pages', number(40, 1200), '[has|runs to|counts] {v} pages', {
      post: '[of|with] {v} pages',
      own: 'there are {v} pages',
    }),
    attribute('published', year, '[was published in|came out in|appeared in] {v}', {
      post: '[from|published in] {v}',
      front: 'published in {v}',
      own: 'it came out in {v}',
    }),
    attribute(
      'publisher',
      (dice) => `${inventedWord(dice)} ${dice.pick(['Press', 'Books', 'House', 'and Sons'])}`,
      '[was published by|is published by] {v}',
      { post: 'from {v}', own: 'the publisher is {v}' },
    ),
    attribute('language', languages, '[is written in|was written in] {v}', {
      pre: '{v}',
      post: 'in {v}',
      own: 'the language is {v}',
    }),
    attribute('set in', townName, '[is set in|takes place in] {v}', {
      post: 'set in {v}',
      front: 'set in {v}',
      own: 'the story takes place in {v}',
    }),
    attribute(
      'rating',
      words('low|average|high|2 out of 5|4 out of 5|5 out of 5|excellent'),
      '[has a rating of|was rated|is rated] {v}',
      { own: '[readers rate it|the rating is] {v}', post: 'rated {v}' },
    ),
  ]),
  domain('film', 'title', titleName, 'type', 'film|movie|documentary|musical|cartoon|short film|drama', 'it|the film', [
    attribute('director', personName, '[was directed by|is directed by] {v}', {
      post: '[by|directed by] {v}',
      own: 'the director is {v}',
    }),
    attribute('star', personName, '[stars|features] {v}', {
      post: '[with|starring] {v}',
      own: '[the star is|the lead role is played by] {v}',
    }),
    attribute('genre', genres, 'is of the {v} genre', { pre: '{v}' }),
    attribute('released', year, '[was released in|came out in|dates from] {v}', {
      post: 'from {v}',
      front: 'in {v}',
      own: 'it was released in {v}',
    }),
    attribute('length', number(10, 240, 'minutes'), '[lasts|runs for|takes] {v}', {
      post: 'of {v}',
      own: 'the running time is {v}',
    }),
    attribute('studio', brandName, '[was made by|was produced by] {v}', { post: 'from {v}', own: 'the studio is {v}' }),
    attribute('budget', number(1, 300, 'million dollars'), '[cost|had a budget of] {v}', {
      own: 'the budget was {v}',
      post: 'with a budget of {v}',
    }),
    attribute('music', personName, '[has music by|features music by] {v}', {
      own: 'the music is by {v}',
      post: 'with music by {v}',
    }),
  ]),
  domain(
    'team',
    'name',
    (dice) =>
      `${townName(dice)} ${dice.pick(['United', 'Rovers', 'Lions', 'Hawks', 'City', 'Wanderers', 'Stars', 'Athletic', 'Bears', 'Giants', 'Wolves'])}`,
    'type',
    'team|club|side|squad',
    'it|the team|the club',
    [
      attribute('sport', sports, '[plays|competes in|is devoted to] {v}', { pre: '{v}', own: 'the sport is {v}' }),
      attribute(
        'stadium',
        (dice) => `${inventedWord(dice)} ${dice.pick(['Park', 'Stadium', 'Road', 'Arena', 'Field'])}`,
        '[plays at|plays home games at|is based at] {v}',
        { post: '[playing at|based at] {v}', own: '[the stadium is|home games are held at] {v}' },
      ),
      attribute('coach', personName, '[is coached by|is managed by|is trained by] {v}', {
        post: 'coached by {v}',
        own: '[the coach is|its coach is] {v}',
        front: 'under coach {v}',
      }),
      attribute('founded', year, '[was founded in|has existed since] {v}', {
        post: 'founded in {v}',
        own: 'it was founded in {v}',
        front: 'founded in {v}',
      }),
      attribute('colours', colours, '[plays in|wears|wears shirts in] {v}', {
        own: '[the colours are|its shirts are] {v}',
        post: 'in {v}',
      }),
      attribute('titles', number(0, 40), '[has won {v} titles|holds {v} titles]', {
        own: 'there are {v} titles in the cabinet',
        post: 'with {v} titles',
      }),
      attribute('captain', personName, '[is captained by|is led by] {v}', {
        own: 'the captain is {v}',
        post: 'with captain {v}',
      }),
      attribute('rival', townName, '[has a rivalry with|often plays against] {v}', {
        own: '[the great rival is|the rivals are from] {v}',
      }),
    ],
  ),
  domain(
    'product',
    'name',
    brandName,
    'type',
    'phone|lamp|chair|bicycle|watch|kettle|radio|tent|camera|sofa|backpack|laptop|desk|jacket|guitar|toaster|car|van|boat',
    'it',
    [
      attribute(
        'maker',
        (dice) => `${inventedWord(dice)} ${dice.pick(['Works', 'Group', 'Labs', 'Brothers', 'Industries'])}`,
        '[is made by|is produced by|comes from] {v}',
        { post: '[by|from|made by] {v}', own: 'the maker is {v}' },
      ),
      attribute('colour', colours, '[is {v}|comes in {v}|is available in {v}]', {
        pre: '{v}',
        post: 'in {v}',
        own: 'the colour is {v}',
      }),
      attribute('price', number(5, 4000, 'pounds'), '[costs|is priced at|sells for|can be bought for] {v}', {
        post: '[for|at|priced at] {v}',
        own: 'the price is {v}',
        front: 'for {v}',
      }),
      attribute('weight', number(1, 90, 'kg'), '[weighs|has a weight of] {v}', {
        post: 'with a weight of {v}',
        own: 'the weight is {v}',
      }),
      attribute('material', materials, '[is made of|is built from] {v}', {
        post: '[made of|in] {v}',
        own: 'the material is {v}',
      }),
      attribute('warranty', number(1, 10, 'years'), '[has a warranty of|comes with a warranty of] {v}', {
        own: 'the warranty is {v}',
        post: 'with a warranty of {v}',
      }),
      attribute(
        'customer rating',
        words('low|average|high|1 out of 5|3 out of 5|5 out of 5'),
        '[has a customer rating of {v}|is rated {v} by customers]',
        { own: '[customers rate it {v}|the customer rating is {v}]', post: 'with a customer rating of {v}' },
      ),
      attribute(
        'suitable for children',
        words('yes'),
        '[is suitable for children|can be used by children|is child friendly]',
        { pre: 'child friendly', own: 'children can use it' },
      ),
    ],
  ),
  domain(
    'building',
    'name',
    (dice) => `${inventedWord(dice)} ${dice.pick(['Tower', 'House', 'Hall', 'Building', 'Centre', 'Court'])}`,
    'type',
    'office building|church|library|station|school|hospital|castle|town hall|museum|bridge|lighthouse',
    'it',
    [
      attribute('architect', personName, '[was designed by|is the work of|was planned by] {v}', {
        post: 'by {v}',
        own: 'the architect was {v}',
        front: 'designed by {v}',
      }),
      attribute('floors', number(1, 90), '[has|rises to] {v} floors', {
        post: '[with|of] {v} floors',
        own: 'there are {v} floors',
      }),
      attribute('location', townName, '[is in|stands in|is located in|can be found in] {v}', {
        post: 'in {v}',
        front: 'in {v}',
        own: 'the location is {v}',
      }),
      attribute('completed', year, '[was completed in|was finished in|was built in] {v}', {
        post: '[from|built in] {v}',
        own: 'building ended in {v}',
        front: 'completed in {v}',
      }),
      attribute('height', number(5, 400, 'metres'), '[is {v} high|has a height of {v}]', {
        own: 'the height is {v}',
        post: 'with a height of {v}',
      }),
      attribute('material', materials, '[is made of|was built of] {v}', {
        post: '[of|built of] {v}',
        own: 'the material is {v}',
      }),
      attribute('owner', personName, '[belongs to|is owned by] {v}', { post: 'owned by {v}', own: 'the owner is {v}' }),
    ],
  ),
]
