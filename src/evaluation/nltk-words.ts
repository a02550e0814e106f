/**
 * Words as NLTK's `word_tokenize` has them: Treebank rules for each sentence. Its sentence model is learnt from text
 * and no part of this; where it matters (a full stop inside a text), short lists and plain rules stand in for it.
 */
import { splitPython } from './tokens-13a.ts'

type Rewrite = readonly [pattern: RegExp, replacement: string]

/** What Python's `\w` matches. */
const word = '[\\p{L}\\p{N}_]'

const openingQuotes: readonly Rewrite[] = [
  [/[«“‘„]|`+/gu, ' $& '],
  [/^"/u, '``'],
  [/``/gu, ' `` '],
  [/([ ([{<])(?:"|'{2})/gu, '$1 `` '],
  [new RegExp(`(?<!${word})'(?!(?:re|ve|ll|m|t|s|d|n)(?!${word}))(?=${word})`, 'giu'), "' "],
]

const punctuation: readonly Rewrite[] = [
  [/([^.])(\.)([\])}>"'»”’ ]*)\s*$/u, '$1 $2 $3 '],
  [/([:,])(\P{Nd})/gu, ' $1 $2'],
  [/[:,]$/u, ' $& '],
  [/\.{2,}/gu, ' $& '],
  [/[;@#$%&]/gu, ' $& '],
  [/[\u2012-\u2015]/gu, ' $& '],
  [/([^.])(\.)([\])}>"']*)\s*$/u, '$1 $2$3 '],
  [/[?!]/gu, ' $& '],
  [/([^'])' /gu, "$1 ' "],
  [/[*]/gu, ' $& '],
  [/[\][(){}<>]/gu, ' $& '],
  [/--/gu, ' -- '],
]

const closingQuotes: readonly Rewrite[] = [
  [/^|$/gu, ' '],
  [/[»”’]/gu, ' $& '],
  [/''/gu, " '' "],
  [/"/gu, " '' "],
  [/\s+/gu, ' '],
  [/([^' ])('[sS]|'[mM]|'[dD]|') /gu, '$1 $2 '],
  [/([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) /gu, '$1 $2 '],
]

const contractions: readonly Rewrite[] = [
  ...['can|not', "d|'ye", 'gim|me', 'gon|na', 'got|ta', 'lem|me', "more|'n"].map((pair): Rewrite => {
    const [start, end] = pair.split('|')
    return [new RegExp(`(?<!${word})(${start})(${end})(?!${word})`, 'giu'), ' $1 $2 ']
  }),
  [new RegExp(`(?<!${word})(wan)(na)(?=\\s)`, 'giu'), ' $1 $2 '],
  [new RegExp(` ('t)(is|was)(?!${word})`, 'giu'), ' $1 $2 '],
]

const rules = [...openingQuotes, ...punctuation, ...closingQuotes, ...contractions]

export function tokenizeNltk(text: string): string[] {
  return splitSentences(text).flatMap((sentence) =>
    splitPython(rules.reduce((rewritten, [pattern, replacement]) => rewritten.replace(pattern, replacement), sentence)),
  )
}

/** Words that keep their full stop. */
const abbreviations = new Set(
  (
    'adm ave capt co col corp dr gen gov hon inc jr lt ltd mr mrs ms mt no prof rep rev sen sgt sr st vs ' +
    'jan feb mar apr aug sept oct nov dec'
  ).split(' '),
)

function splitSentences(text: string): string[] {
  const sentences: string[] = []
  let start = 0
  for (const { 0: mark, index } of text.matchAll(/[.?!]["')\]}]*(?=\s)/g)) {
    const end = index + mark.length
    if (!mark.startsWith('.') || endsSentence(text.slice(start, index), text.slice(end))) {
      sentences.push(text.slice(start, end))
      start = end
    }
  }
  return [...sentences, text.slice(start)].map((sentence) => sentence.trim())
}

/** Whether a full stop between these is more than part of an abbreviation, an initial, an ordinal or an ellipsis. */
function endsSentence(before: string, after: string): boolean {
  const last = /[^\s("'[{]*$/.exec(before)?.[0] ?? ''
  if (last.endsWith('.')) return false
  if (/^\p{N}+$/u.test(last)) return !/^\s+\p{Ll}/u.test(after)
  return !(/^\p{L}$/u.test(last) || last.includes('.') || abbreviations.has(last.toLowerCase()))
}
