/** The tokens of mteval v13a, in the dialects of the scripts that have it: they differ in blanks and case. */

type Rewrite = readonly [pattern: RegExp, replacement: string]

/** Tags and line ends go, entities become characters; in this order, so that `&amp;lt;` ends as `<`. */
const plainText: readonly Rewrite[] = [
  [/<skipped>/g, ''],
  [/-\n/g, ''],
  [/\n/g, ' '],
  [/&quot;/g, '"'],
  [/&amp;/g, '&'],
  [/&lt;/g, '<'],
  [/&gt;/g, '>'],
]

/** Blanks around every ASCII punctuation mark but apostrophe, comma, hyphen and full stop. */
const punctuation: readonly Rewrite[] = [[/[{-~[-` -&(-+:-@/]/g, ' $& ']]

const possessive: readonly Rewrite[] = [[/'s /g, " 's "]]

/** Comma and full stop stay only between digits, and a hyphen is split off after a digit. */
const numbers: readonly Rewrite[] = [
  [/([^0-9])([.,])/g, '$1 $2 '],
  [/([.,])([^0-9])/g, ' $1 $2'],
  [/([0-9])(-)/g, '$1 $2 '],
]

const rewrite = (text: string, rules: readonly Rewrite[]) =>
  rules.reduce((rewritten, [pattern, replacement]) => rewritten.replace(pattern, replacement), text)

// The blanks at both ends count as what is "not a digit": "30." at the end of a text loses its full stop.
const separate = (text: string, rules: readonly Rewrite[]) => rewrite(` ${rewrite(text, plainText)} `, rules)
const separate13a = (text: string) => separate(text, [...punctuation, ...numbers])

/** The text with blanks between tokens by the rules of tercom's `-N`: those of 13a, and possessives split off. */
export const separateTercom = (text: string): string => separate(text, [...punctuation, ...possessive, ...numbers])

/** Blanks beyond ASCII, as Unicode's White_Space has them. */
const unicodeBlanks = '\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000'

/** What `\s` means to Java and, on bytes, to Perl; to Perl on text; and to Python, for which separators are blank too. */
const asciiBlank = /[\t-\r ]+/
const perlBlank = new RegExp(`[\\t-\\r ${unicodeBlanks}]+`)
const pythonBlank = new RegExp(`[\\t-\\r\\u001c- ${unicodeBlanks}]+`)

const notEmpty = (token: string) => token !== ''

/** Words between ASCII blanks. */
export const splitAscii = (text: string): string[] => text.split(asciiBlank).filter(notEmpty)

/** Words as Python's `str.split()` has them. */
export const splitPython = (text: string): string[] => text.split(pythonBlank).filter(notEmpty)

/** Tokens of e2e-metrics (pymteval), lowercased. A text of none counts as one empty token there, and so here. */
export function tokenizePymteval(text: string): string[] {
  const tokens = splitPython(separate13a(text)).map((token) => token.toLowerCase())
  return tokens.length === 0 ? [''] : tokens
}

/** Tokens of mteval-v13a.pl, which lowercases ASCII letters only. */
export const tokenizeMteval = (text: string): string[] =>
  tokenizeMultiBleuDetok(text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase()))

/** Tokens of multi-bleu-detok.perl, in the case they have. */
export const tokenizeMultiBleuDetok = (text: string): string[] => separate13a(text).split(perlBlank).filter(notEmpty)

/** Tokens of sacrebleu's `13a`, in the case they have. Blanks at the end go first: a last `-\n` joins nothing. */
export const tokenizeSacrebleu = (text: string): string[] =>
  splitPython(separate13a(text.replace(new RegExp(`${pythonBlank.source}$`), '')))
