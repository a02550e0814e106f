/** The pretraining corpus: synthetic pairs and book chunks, shuffled together, one pass over the pairs. */

import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import { text } from 'node:stream/consumers'
import { finished } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { Dice } from './dice.ts'
import { drawPair } from './pairs.ts'
import { proseDocuments } from './prose.ts'

export const endOfText = '<|endoftext|>'

export interface CorpusOptions {
  readonly seed: number
  readonly pairs: number
  /** How many times the books are read. */
  readonly prosePasses: number
}

/** A document ends with the end-of-text token; a pair has one between context and completion, as the adapter's data has. */
export function* corpusDocuments(
  prose: readonly string[],
  { seed, pairs, prosePasses }: CorpusOptions,
): Generator<string> {
  const dice = new Dice(seed)
  const shelf: string[] = []
  for (let pass = 0; pass < prosePasses; pass++) shelf.push(...dice.shuffle(prose))
  let pairsLeft = pairs
  let next = 0
  while (pairsLeft + shelf.length - next > 0) {
    if (dice.chance(pairsLeft / (pairsLeft + shelf.length - next))) {
      const { context, completion } = drawPair(dice)
      yield `${context}${endOfText} ${completion}${endOfText}`
      pairsLeft -= 1
    } else {
      yield `${shelf[next]}${endOfText}`
      next += 1
    }
  }
}

/** Reads a text file, gzipped or not. */
export async function readText(path: string): Promise<string> {
  const file = createReadStream(path)
  return text(path.endsWith('.gz') ? file.pipe(createGunzip()) : file)
}

/** Splits the books in a part to train on and a small part to validate on, the same for the same seed. */
export function splitProse(books: string, seed: number, validation: number) {
  const dice = new Dice(seed)
  const documents = dice.shuffle(proseDocuments(books, dice))
  return { train: documents.slice(validation), validation: documents.slice(0, validation) }
}

/** Writes documents as one plain-text file: a line break follows every end of text that ends a document. */
export async function writeDocuments(
  path: string,
  documents: Iterable<string>,
): Promise<{ documents: number; characters: number }> {
  const out = createWriteStream(path)
  let count = 0
  let characters = 0
  let held: string[] = []
  for (const document of documents) {
    held.push(document)
    count += 1
    characters += document.length
    if (held.length < 512) continue
    if (!out.write(`${held.join('\n')}\n`)) await once(out, 'drain')
    held = []
  }
  out.end(held.length > 0 ? `${held.join('\n')}\n` : '')
  await finished(out)
  return { documents: count, characters }
}
