/** Which words WordNet 3.0 has in one set of synonyms, from the table in `resources/wordnet-3.0`, read at first use. */
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'

interface Thesaurus {
  /** The numbers of the sets that a word is in. */
  readonly sets: ReadonlyMap<string, readonly number[]>
  /** What an irregular form, such as `went`, is a form of. */
  readonly bases: ReadonlyMap<string, readonly string[]>
}

const table = new URL('../../resources/wordnet-3.0/synonyms.txt.gz', import.meta.url)

let loaded: Thesaurus | undefined

/**
 * The sets of a word and of what it may be a form of, as METEOR 1.5 looks them up: two words are synonyms if they have a
 * number in common. As there, sets of equal offset in WordNet's files are one, whatever their parts of speech.
 */
export function synonymSets(word: string): ReadonlySet<number> {
  loaded ??= parse(gunzipSync(readFileSync(table)).toString('utf8'))
  const { sets, bases } = loaded
  const origins = bases.get(word) ?? [regularBase(word, sets) ?? '']
  return new Set([word, ...origins].flatMap((origin) => sets.get(origin) ?? []))
}

/** First the sets, a line of words each; after an empty line irregular words, each with its forms. */
function parse(text: string): Thesaurus {
  const [setLines = '', irregularLines = ''] = text.split('\n\n')
  const sets = new Map<string, number[]>()
  for (const [number, line] of setLines.split('\n').entries()) {
    for (const word of line.split(' ')) append(sets, word, number)
  }
  const bases = new Map<string, string[]>()
  for (const line of irregularLines.trimEnd().split('\n')) {
    const [base = '', ...forms] = line.split(' ')
    for (const form of forms) append(bases, form, base)
  }
  return { sets, bases }
}

function append<Value>(lists: Map<string, Value[]>, key: string, value: Value): void {
  const list = lists.get(key)
  if (list === undefined) lists.set(key, [value])
  else list.push(value)
}

/** WordNet's rules of detachment, in its order: nouns, verbs, adjectives. */
const endings: readonly (readonly [ending: string, base: string])[] = [
  ['s', ''],
  ['ses', 's'],
  ['xes', 'x'],
  ['zes', 'z'],
  ['ches', 'ch'],
  ['shes', 'sh'],
  ['men', 'man'],
  ['ies', 'y'],
  ['es', 'e'],
  ['es', ''],
  ['ed', 'e'],
  ['ed', ''],
  ['ing', 'e'],
  ['ing', ''],
  ['er', ''],
  ['est', ''],
  ['er', 'e'],
  ['est', 'e'],
]

/** The first known word that the rules make of this one. The word itself if it is short or ends in ss. */
function regularBase(word: string, known: ReadonlyMap<string, unknown>): string | undefined {
  if (word.length <= 2 || word.endsWith('ss')) return word
  for (const [ending, base] of endings) {
    if (!word.endsWith(ending)) continue
    const candidate = word.slice(0, word.length - ending.length) + base
    if (known.has(candidate)) return candidate
  }
  return undefined
}
