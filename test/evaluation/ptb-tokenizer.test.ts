/** The tokens of captions against those of the tokenizer that they imitate. */
import t from 'tap'
import { captionWords, tokenizePtb } from '../../src/evaluation/ptb-tokenizer.ts'
import { goldenPtbTokens } from '../fixtures/caption-metrics.ts'

const punctuation = new Set(["''", "'", '``', '`', '.', '?', '!', ',', ':', '-', '--', '...', ';'])

t.test("the words are those of Stanford's tokenizer", (t) => {
  for (const [text, tokens] of goldenPtbTokens) {
    const official = tokens.split(' ').filter((token) => !punctuation.has(token))
    t.same(captionWords(text), official, text)
  }
  t.end()
})

t.test('words split as in the Penn Treebank', (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ["They don't; it's £20-25 (cheap).", "they do n't ; it 's # 20-25 -lrb- cheap -rrb- ."],
    ['He’s in the U.S. at 7:30, isn’t he?', "he 's in the u.s. at 7:30 , is n't he ?"],
    ['You cannot say 1,000.50 and/or 24/7...', 'you can not say 1,000.50 and/or 24/7 ...'],
    ['A family-friendly café — Mr. Li’s — 5 out of 5', "a family-friendly café -- mr. li 's -- 5 out of 5"],
    ['', ''],
    [' \t ', ''],
  ]
  for (const [text, tokens] of cases) t.equal(tokenizePtb(text).join(' '), tokens)
  t.end()
})

t.test('captions have no punctuation, but round brackets, and are one line', (t) => {
  t.same(captionWords('"Near\nit" -- (the pub), \'cheap\'; yes: no...!'), [
    'near',
    'it',
    '-lrb-',
    'the',
    'pub',
    '-rrb-',
    'cheap',
    'yes',
    'no',
  ])
  t.same(captionWords('. , ! ?'), [])
  t.end()
})
