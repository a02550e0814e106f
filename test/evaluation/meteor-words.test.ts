/** What METEOR compares: words, stems, synonyms. */
import t from 'tap'
import { englishStem } from '../../src/evaluation/english-stem.ts'
import { isFunctionWord } from '../../src/evaluation/function-words.ts'
import { meteorWords } from '../../src/evaluation/meteor-words.ts'
import { synonymSets } from '../../src/evaluation/synonyms.ts'
import { goldenMeteorWords } from '../fixtures/caption-metrics.ts'

t.test("words are METEOR's", (t) => {
  for (const [text, words] of goldenMeteorWords.words) t.equal(meteorWords(text).join(' '), words.toLowerCase(), text)
  t.end()
})

t.test('hyphens part words, and abbreviations lose or keep their full stops', (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ["A family-friendly pub, it's £20-25.", "a family friendly pub , it 's £ 20 25 ."],
    ['In the U.S. Mr. Li paid 1,000.50.', 'in the us mr. li paid 1,000.50 .'],
    ['Wait... “so”', 'wait ... " so "'],
    ['', ''],
    [' - ', '-'],
  ]
  for (const [text, words] of cases) t.equal(meteorWords(text).join(' '), words)
  t.end()
})

t.test("stems are Snowball's", (t) => {
  for (const pair of goldenMeteorWords.stems) {
    const [word = '', stem = ''] = pair.split('>')
    t.equal(englishStem(word), stem, word)
  }
  t.end()
})

t.test('words of one set are synonyms, and so are their forms', (t) => {
  const share = (a: string, b: string) => [...synonymSets(a)].some((set) => synonymSets(b).has(set))
  const synonyms = [
    'car automobile',
    'cheap inexpensive',
    'cars automobile',
    'went go',
    'locating located',
    'big large',
  ]
  for (const pair of synonyms) {
    const [a = '', b = ''] = pair.split(' ')
    t.ok(share(a, b), pair)
  }
  for (const pair of ['car boat', 'cheap expensive', 'pub qwertyuiop']) {
    const [a = '', b = ''] = pair.split(' ')
    t.notOk(share(a, b), pair)
  }
  t.equal(synonymSets('').size, 0)
  t.end()
})

t.test('frequent words are function words', (t) => {
  t.same(
    ['the', 'of', ',', 'pub', 'riverside', ''].map((word) => isFunctionWord(word)),
    [true, true, true, false, false, false],
  )
  t.end()
})
