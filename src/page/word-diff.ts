/** Which words of a text are not in another one, by the longest common run of words in order. */

export interface Word {
  readonly text: string
  readonly differs: boolean
}

/** Words with the space before them, so that joining them gives the text again. */
export const wordsOf = (text: string): string[] => text.match(/\s*\S+|\s+$/g) ?? []

/** The words of `text`; those that the reference does not have there are marked. */
export function diffWords(text: string, reference: string): Word[] {
  const [words, others] = [wordsOf(text), wordsOf(reference)]
  const [own, theirs] = [words.map(plain), others.map(plain)]
  const common = commonLengths(own, theirs)
  const marked: Word[] = []
  let [i, j] = [0, 0]
  while (i < words.length) {
    if (j < theirs.length && own[i] === theirs[j]) {
      marked.push({ text: words[i] ?? '', differs: false })
      i++
      j++
    } else if (j < theirs.length && at(common, i, j + 1) >= at(common, i + 1, j)) j++
    else marked.push({ text: words[i++] ?? '', differs: true })
  }
  return marked
}

/**
 * The same while both still grow: neither is blamed for words that the other has not come to yet.
 * @param done is the reference complete?
 */
export function diffGrowing(text: string, reference: string, done: boolean): Word[] {
  if (done) return diffWords(text, reference)
  const known = wordsOf(reference).length
  const words = wordsOf(text)
  const compared = diffWords(words.slice(0, known).join(''), reference)
  return [...compared, ...words.slice(known).map((word) => ({ text: word, differs: false }))]
}

const plain = (word: string): string => word.trim()

type Table = readonly (readonly number[])[]

const at = (table: Table, i: number, j: number): number => table[i]?.[j] ?? 0

/** [i][j]: how many words the rests from i and from j have in common, in order. */
function commonLengths(a: readonly string[], b: readonly string[]): Table {
  const table = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0))
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const row = table[i] as number[]
      row[j] = a[i] === b[j] ? 1 + at(table, i + 1, j + 1) : Math.max(at(table, i + 1, j), at(table, i, j + 1))
    }
  }
  return table
}
