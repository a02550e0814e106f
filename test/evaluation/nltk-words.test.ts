/** Words as NLTK's word_tokenize has them. */
import t from 'tap'
import { tokenizeNltk } from '../../src/evaluation/nltk-words.ts'
import { golden } from '../fixtures/text-metrics.ts'

const words = (text: string) => tokenizeNltk(text).join(' ')

t.test("NLTK's words of texts of one sentence", (t) => {
  for (const { hypothesis, nltk } of golden.cases) t.same(tokenizeNltk(hypothesis), nltk)
  t.equal(words('He said "no", isn\'t it (so)?'), "He said `` no '' , is n't it ( so ) ?")
  t.same(tokenizeNltk(''), [])
  t.end()
})

t.test('every sentence loses its full stop, not only the last', (t) => {
  t.equal(words('It is near Oak. It is cheap.'), 'It is near Oak . It is cheap .')
  t.equal(words('It opened in 1990. Is it good? yes.'), 'It opened in 1990 . Is it good ? yes .')
  t.equal(words('He said "it is old." Then he left.'), "He said `` it is old . '' Then he left .")
  t.end()
})

t.test('abbreviations, initials, ordinals and ellipses end no sentence', (t) => {
  t.equal(words('Dr. J. Oak of U.S. Steel Corp. left.'), 'Dr. J. Oak of U.S. Steel Corp. left .')
  t.equal(words('the 3. of May ... was fine.'), 'the 3. of May ... was fine .')
  t.end()
})
