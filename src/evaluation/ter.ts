/** TER as tercom 0.7.25 computes it: over a corpus, the fewest edits to any reference by the mean reference length. */
import type { Metric } from './metric.ts'
import { tercomEdits } from './tercom-shifts.ts'
import { separateTercom } from './tokens-13a.ts'

export interface TercomOptions {
  /** `-s`: keeps case. */
  readonly caseSensitive?: boolean
  /** `-N`: separates punctuation from words. */
  readonly normalize?: boolean
  /** `-P`: removes punctuation. */
  readonly removePunctuation?: boolean
}

/** TER with tercom's default options, 0 or more. */
export const ter: Metric = tercom({})

/** TER under some of tercom's options. Each instance counts its edits and its mean reference length, in words. */
export function tercom(options: TercomOptions): Metric {
  const tokenize = tokenizer(options)
  return {
    higherIsBetter: false,
    tokenisation: describe(options),
    instances: (hypotheses, references) => {
      const numbers = new Map<string, number>()
      const numbered = (text: string) => numberWords(tokenize(text), numbers)
      return hypotheses.map((text, i) => instance(numbered(text), (references[i] ?? []).map(numbered)))
    },
    combine: ([edits = 0, words = 0]) => (words > 0 ? edits / words : Math.min(1, edits)),
  }
}

/** All words of a text as numbers: equal words, equal numbers. */
function numberWords(words: readonly string[], numbers: Map<string, number>): Int32Array {
  return Int32Array.from(words, (word) => {
    const number = numbers.get(word) ?? numbers.size
    numbers.set(word, number)
    return number
  })
}

function instance(words: Int32Array, references: readonly Int32Array[]): Float64Array {
  const edits = references.map((reference) => tercomEdits(words, reference))
  const lengths = references.reduce((sum, { length }) => sum + length, 0)
  return Float64Array.of(Math.min(...edits), lengths / references.length)
}

function tokenizer({ caseSensitive, normalize, removePunctuation }: TercomOptions): (text: string) => string[] {
  return (text) => {
    const trimmed = text.replace(/^[\0- ]+|[\0- ]+$/g, '')
    if (trimmed === '') return []
    const cased = caseSensitive ? trimmed : trimmed.toLowerCase()
    const separated = normalize ? separateTercom(cased).trim() : cased
    return splitLikeJava(removePunctuation ? separated.replace(/[.,?:;!"()]/g, '') : separated)
  }
}

/** Java's `split("\\s+")` keeps an empty word before a leading blank, and a text without blanks, be it empty. */
function splitLikeJava(text: string): string[] {
  const words = text.split(/[\t-\r ]+/)
  if (words.length === 1) return words
  return words.slice(0, words.findLastIndex((word) => word !== '') + 1)
}

function describe({ caseSensitive, normalize, removePunctuation }: TercomOptions): string {
  const changes = [
    caseSensitive ? 'case kept' : 'lowercased',
    ...(normalize ? ['punctuation separated'] : []),
    ...(removePunctuation ? ['punctuation removed'] : []),
  ]
  return `words between blanks, ${changes.join(', ')}`
}
