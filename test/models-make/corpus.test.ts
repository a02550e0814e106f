/** The corpus file: pairs and book chunks, shuffled, each ended by the end-of-text token. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { corpusDocuments, endOfText, splitProse } from '../../models/make/corpus.ts'
import { corpusStage } from '../../models/make/stages.ts'

const paragraph =
  'It was late. “Who,” said Mr. Low, “is there?” The door--it creaked--didn’t\nopen, and _nobody_ came in from the cold of the road.'
const books = Array.from(
  { length: 2 },
  () => `THE TITLE\n\n${Array(60).fill(paragraph).join('\n\n')}\n${endOfText}\n`,
).join('')

t.test('book chunks are of 150 to 330 words, spaced like the pairs, without headings', (t) => {
  const { train, validation } = splitProse(books, 1, 2)
  t.equal(validation.length, 2)
  for (const document of [...train, ...validation]) {
    const words = document.split(/\s+/).length
    t.ok(words >= 150 && words <= 340, `${words} words`)
    t.notMatch(document, /TITLE|_|--/)
  }
  t.match(
    train[0],
    /^It was late \. " Who , " said Mr\. Low , " is there \? " The door - it creaked - did n't open , and nobody came/,
  )
  t.end()
})

t.test('every pair and every chunk comes once, ended by the end-of-text token', (t) => {
  const prose = ['one book', 'two book']
  const documents = [...corpusDocuments(prose, { seed: 3, pairs: 40, prosePasses: 2 })]
  t.equal(documents.length, 44)
  t.equal(documents.filter((document) => document === `one book${endOfText}`).length, 2)
  for (const document of documents) t.ok(document.endsWith(endOfText))
  const pairs = documents.filter((document) => document.includes(' : '))
  t.equal(new Set(pairs).size, 40)
  for (const pair of pairs) t.equal(pair.split(endOfText).length, 3)
  t.end()
})

t.test('the stages write the same files for the same seed', async (t) => {
  const source = t.testdir({ 'books.txt.gz': gzipSync(books) })
  const options = { seed: 5, pairs: 30, prosePasses: 1 }
  for (const run of ['a', 'b']) await corpusStage(join(source, 'books.txt.gz'), join(source, run), options)
  const read = (...path: string[]) => readFile(join(source, ...path), 'utf8')
  t.equal(await read('a', 'pretrain.txt'), await read('b', 'pretrain.txt'))
})
