/** mteval's tokens in the dialects of the scripts. */
import t from 'tap'
import {
  separateTercom,
  splitAscii,
  tokenizeMteval,
  tokenizeMultiBleuDetok,
  tokenizePymteval,
  tokenizeSacrebleu,
} from '../../src/evaluation/tokens-13a.ts'

t.test('punctuation is split off, but not inside numbers, words and contractions', (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['Cosy, cheap (and near).', 'Cosy , cheap ( and near ) .'],
    ['It costs £20-25.', 'It costs £20 - 25 .'],
    ['1,000.50 guests.', '1,000.50 guests .'],
    ['a family-friendly place', 'a family-friendly place'],
    ["they don't; it's 5/5!", "they don't ; it's 5 / 5 !"],
    ['Bar &amp; Grill &quot;Sun&quot;', 'Bar & Grill " Sun "'],
    ['&amp;lt;b&gt;', '< b >'],
    ['rated 5.', 'rated 5 .'],
    ['.5 and 5.5.5, x.y', '. 5 and 5.5.5 , x . y'],
    ['a,b ,c', 'a , b , c'],
    ['“Ünal’s”…', '“Ünal’s”…'],
    ['a <skipped>b', 'a b'],
    ['kid-\nfriendly\nplace', 'kidfriendly place'],
    ['a_b^c`d~e', 'a _ b ^ c ` d ~ e'],
    ['  ', ''],
  ]
  for (const [text, tokens] of cases) {
    t.equal(tokenizeMultiBleuDetok(text).join(' '), tokens)
    t.equal(tokenizeSacrebleu(text).join(' '), tokens)
    t.equal(tokenizePymteval(text).join(' '), tokens.toLowerCase())
  }
  t.end()
})

t.test('the scripts differ in case', (t) => {
  t.same(tokenizePymteval('ÜNAL Bar'), ['ünal', 'bar'])
  t.same(tokenizeMteval('ÜNAL Bar'), ['Ünal', 'bar'], 'Perl lowercases A to Z alone')
  t.same(tokenizeMultiBleuDetok('ÜNAL Bar'), ['ÜNAL', 'Bar'])
  t.end()
})

t.test('the scripts differ in what is blank', (t) => {
  const text = 'a\u00a0b\u2009c\u001fd\ufeffe'
  t.same(splitAscii(text), [text], 'of bytes, only ASCII can be blank')
  t.same(tokenizeMultiBleuDetok(text), ['a', 'b', 'c\u001fd\ufeffe'])
  t.same(tokenizePymteval(text), ['a', 'b', 'c', 'd\ufeffe'], 'to Python separators are blank as well')
  t.same(tokenizeSacrebleu('a-\n'), ['a-'], 'the line end goes before it can join')
  t.end()
})

t.test('a text of no tokens is one empty token to e2e-metrics only', (t) => {
  t.same(tokenizePymteval(''), [''])
  for (const tokenize of [tokenizeMteval, tokenizeMultiBleuDetok, tokenizeSacrebleu, splitAscii])
    t.same(tokenize(' '), [])
  t.end()
})

t.test("tercom's normalisation splits possessives off", (t) => {
  const tokens = (text: string) => splitAscii(separateTercom(text)).join(' ')
  t.equal(tokens("Jim's car (the 4.2)."), "Jim 's car ( the 4.2 ) .")
  t.equal(tokens("Jims' isn't"), "Jims' isn't")
  t.end()
})
