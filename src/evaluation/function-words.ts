/** The words that METEOR 1.5 counts as function words, from its own table in `resources/meteor-1.5`, read at first use. */
import { readFileSync } from 'node:fs'

const table = new URL('../../resources/meteor-1.5/function-words.txt', import.meta.url)

let loaded: ReadonlySet<string> | undefined

export function isFunctionWord(word: string): boolean {
  loaded ??= new Set(readFileSync(table, 'utf8').trimEnd().split('\n'))
  return loaded.has(word)
}
