/** Public-domain books as short documents, with the blanks around punctuation that data-to-text sets use. */
import type { Dice } from './dice.ts'

const shortest = 150
const longest = 300

/** Chunks of 150 to 300 words that begin and end with a paragraph; `text` holds books, each ended by a `<|endoftext|>` line. */
export function proseDocuments(text: string, dice: Dice): string[] {
  const documents: string[] = []
  for (const book of text.split('<|endoftext|>')) {
    let chunk: string[] = []
    let words = 0
    let enough = dice.integer(shortest, longest)
    for (const paragraph of paragraphs(book)) {
      chunk.push(paragraph)
      words += paragraph.split(' ').length
      if (words < enough) continue
      documents.push(chunk.join('\n'))
      chunk = []
      words = 0
      enough = dice.integer(shortest, longest)
    }
  }
  return documents
}

/** Running text only: headings, verse, tables and licence remarks are left out. */
function* paragraphs(book: string): Generator<string> {
  for (const block of book.replaceAll('\r', '').split(/\n\s*\n/)) {
    const paragraph = spaced(plain(block))
    if (
      /^["']? ?[A-Z]/.test(paragraph) &&
      /[.!?;:,"'-]$/.test(paragraph) &&
      paragraph.length > 30 &&
      !/Gutenberg|http|www/i.test(paragraph)
    )
      yield paragraph
  }
}

const plain = (block: string) =>
  block
    .replace(/[“”]/g, '"')
    .replace(/[‘’]/g, "'")
    .replace(/[—–]|--+/g, ' - ')
    .replace(/[_*]|\[[^\]]*\]/g, '')
    .replace(/\s+/g, ' ')
    .trim()

/** `word, "word."` -> `word , " word . "`; the dots of titles stay. */
const spaced = (text: string) =>
  text
    .replace(/([,;:!?()"])/g, ' $1 ')
    .replace(/(?<!\b(?:Mr|Mrs|Dr|St|Ms|[A-Z]))\.(?=\s|$|['"])/g, ' .')
    .replace(/(\w)('(?:s|ll|re|ve|d|m))\b/g, '$1 $2')
    .replace(/(\w)n't\b/g, "$1 n't")
    .replace(/\s+/g, ' ')
    .trim()
