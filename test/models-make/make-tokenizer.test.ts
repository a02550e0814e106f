/** The base model's tokenizer: byte-level BPE with a vocabulary of exactly the size asked for. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Tokenizer as ServingTokenizer } from '@huggingface/tokenizers'
import t from 'tap'
import { Tokenizer } from 'tokenizers'
import { corpusDocuments, endOfText } from '../../models/make/corpus.ts'
import { makeTokenizer } from '../../models/make/make-tokenizer.ts'

const samples = [
  'name : Café Adriatic | price : £ 20 - 25',
  " It 's near The Vaults , and does n't open",
  `context${endOfText} completion${endOfText}`,
  'Çédille 日本語 🙂👩‍👩‍👧 tabs\t\tend  \n\n x',
  ' 123456  7',
]

t.test('training and serving libraries read the file alike', async (t) => {
  const directory = t.testdir({})
  const corpus = join(directory, 'corpus.txt')
  const documents = [...corpusDocuments([], { seed: 1, pairs: 3000, prosePasses: 0 })]
  await writeFile(corpus, documents.join('\n').replaceAll(endOfText, '\n'))
  const file = join(directory, 'tokenizer.json')
  await makeTokenizer([corpus], 1024, file)
  const text = await readFile(file, 'utf8')
  const training = Tokenizer.fromString(text)
  const serving = new ServingTokenizer(JSON.parse(text), {})
  t.equal(training.getVocabSize(), 1024)
  t.equal(training.tokenToId(endOfText), 0)
  for (const sample of samples) {
    const { ids } = serving.encode(sample)
    t.same(ids, (await training.encode(sample)).getIds(), sample)
    t.equal(serving.decode(ids, { skip_special_tokens: false, clean_up_tokenization_spaces: false }), sample)
  }
  t.equal(
    serving.encode(samples[2] as string).ids.filter((id: number) => id === 0).length,
    2,
    'written out, the token is itself',
  )
  t.ok(serving.encode(' riverside').ids.length === 1, 'what the corpus says often is one token')
})

t.test('a text that cannot fill the vocabulary is refused', async (t) => {
  const directory = t.testdir({ 'tiny.txt': 'a b c\n' })
  await t.rejects(makeTokenizer([join(directory, 'tiny.txt')], 1024, join(directory, 'out.json')), RangeError)
})
