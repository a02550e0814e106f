/** The stages that make the bundled models' data: corpus and tokenizer. Each writes its files and returns what it counted. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type CorpusOptions, corpusDocuments, endOfText, readText, splitProse, writeDocuments } from './corpus.ts'
import { makeTokenizer } from './make-tokenizer.ts'

const validationProse = 60
const validationPairs = 400

/** Writes `pretrain.txt` and `pretrain-valid.txt`. The validation pairs come from a seed of their own. */
export async function corpusStage(books: string, directory: string, options: CorpusOptions) {
  await mkdir(directory, { recursive: true })
  const prose = splitProse(await readText(books), options.seed, validationProse)
  const train = await writeDocuments(join(directory, 'pretrain.txt'), corpusDocuments(prose.train, options))
  const held = { seed: options.seed + 1, pairs: validationPairs, prosePasses: 1 }
  const validation = await writeDocuments(
    join(directory, 'pretrain-valid.txt'),
    corpusDocuments(prose.validation, held),
  )
  return { train, validation, proseDocuments: prose.train.length }
}

/** Trains `tokenizer.json` on a part of the corpus with its mixture. */
export async function tokenizerStage(directory: string, vocabSize: number, characters = 24_000_000) {
  const corpus = await readFile(join(directory, 'pretrain.txt'), 'utf8')
  const sample = join(directory, 'tokenizer-sample.txt')
  await writeFile(sample, corpus.slice(0, characters).replaceAll(endOfText, '\n'))
  await makeTokenizer([sample], vocabSize, join(directory, 'tokenizer.json'))
}
