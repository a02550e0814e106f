/**
 * English words as Stanford's PTBTokenizer 3.4.1 splits them (`-preserveLines -lowerCase`): a lexer of our own whose rules
 * were found by asking that tokenizer. At each place the rule that reaches farthest decides, the first of those as far.
 */
import { abbreviation, abbreviationBeforeDigit } from './ptb-abbreviations.ts'

interface Rule {
  /** What the rule reaches over. Its first group is the token, the whole match unless there is one. */
  readonly pattern: RegExp
  /** The tokens of the matched text; the text itself by default. */
  readonly tokens?: (text: string) => readonly string[]
}

const as =
  (...tokens: readonly string[]) =>
  () =>
    tokens
/** Cut before the last so many characters. */
const cut = (last: number) => (text: string) => [text.slice(0, -last), text.slice(-last)]
const unbroken = (text: string) => [text.replace(/ /g, '\u00a0')]
const straight = (text: string) => [text.replace(/[’\u0092]/g, "'")]

const L = '\\p{L}'
const LN = '[\\p{L}\\p{M}\\p{Nd}\\u00ad]'
const word = `${L}${LN}*(?:[.!?]${L}${LN}*)*`
const apostrophe = "['’\\u0092]"
const acronym = '[A-Za-z](?:\\.[A-Za-z])+'
/** With the d' and o' of names. */
const thing = `(?!\\p{M})(?:[dDoOlL]['’\\u0092]${LN})?${LN}+(?:[-\u2010\u2011](?:[dDoOlL]['’\\u0092]${LN})?${LN}+)*`
const hyphenated = `[A-Za-z0-9][A-Za-z0-9.,]*(?:-(?:${acronym}\\.|[A-Za-z0-9]+))+`
const path = '[^\\s"<>|(){}]+[^\\s"<>|.!?(){},-]'
const slashPart = '[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}'
const wordEnds = '(?:[^A-Za-z]|$)'
const space = '[ \\u00a0]'
/** Words that start a sentence, so that a single letter and a full stop before them end one. */
const starters = [
  'a about according additionally after an as at but earlier he her here however if in it last many more now once one',
  'other our she since so some such that the their then there these they this we what when while yet you',
]
const starter = starters
  .flatMap((line) => line.split(' '))
  .map((text) => `${text.slice(0, 1).toUpperCase()}(?:${text.slice(1)}|${text.slice(1).toUpperCase()})`)
  .join('|')

const curled: Readonly<Record<string, string>> = { '‘': '`', '’': "'", '“': '``', '”': "''" }
const fractions: Readonly<Record<string, string>> = { '¼': '1/4', '½': '1/2', '¾': '3/4', '⅓': '1/3', '⅔': '2/3' }
const brackets: Readonly<Record<string, string>> = {
  '(': '-lrb-',
  ')': '-rrb-',
  '[': '-lsb-',
  ']': '-rsb-',
  '{': '-lcb-',
  '}': '-rcb-',
}
const spelled = (text: string) => [
  text.replace(/[()]/g, (bracket) => brackets[bracket] as string).replace(/ /g, '\u00a0'),
]

/** What that tokenizer leaves out: marks that it does not know, invisible ones, and all beyond the basic plane. */
const unknown = new RegExp(
  [
    '[\\u007f\\u0081-\\u0084\\u0086-\\u0090\\u0095\\u0098-\\u009f\\u00ad\\u2000-\\u2012\\u2024\\u2025\\u2027\\u202a-\\u202f',
    '\\u203c\\u203d\\u2043-\\u206f\\u20a1-\\u20a3\\u20a5-\\u20ab\\u20ad-\\u20ff\\u2160-\\u2189\\u3003-\\u3030\\ud800-\\uf8ff',
    '\\ufe00-\\ufe6f\\ufeff\\u{10000}-\\u{10ffff}]',
  ].join(''),
  'u',
)

const table: readonly Rule[] = [
  // Mark-up, and what it escapes.
  { pattern: /<[A-Za-z_!/][^>]*>/, tokens: unbroken },
  { pattern: /&(?:amp|AMP);/, tokens: as('&') },
  { pattern: /&(?:lt|LT);/, tokens: as('<') },
  { pattern: /&(?:gt|GT);/, tokens: as('>') },
  { pattern: /&(?:quot|QUOT);/, tokens: as("''") },
  { pattern: /&(?:apos|APOS);/, tokens: as("'") },
  { pattern: /&(?:nbsp|NBSP);/, tokens: as() },
  { pattern: /&(?:mdash|MDASH|ndash|NDASH);/, tokens: as('--') },
  { pattern: /&#\d+;/ },
  // Addresses and tags.
  { pattern: new RegExp(`https?://${path}`) },
  { pattern: new RegExp(`www\\.(?:[^\\s"<>|.!?(){},]+\\.)+[a-zA-Z]{2,4}(?:/${path})?`) },
  // Neither capitals nor digits, nor any other character from comma to underscore.
  { pattern: new RegExp(`(?:[^\\s"\`'<>|.!?(){},-_$]+\\.)+(?:com|net|org|edu)(?:/${path})?`) },
  { pattern: /[a-zA-Z0-9][^\s"<>|(){}]*@(?:[^\s"<>|(){}.]+\.)*[^\s"<>|(){}.]+/ },
  { pattern: /@[a-zA-Z_]\w*/ },
  { pattern: new RegExp(`#(?:${L}${LN}*|[a-zA-Z_]\\w*)`, 'u') },
  // Words that are two.
  { pattern: /cannot|gonna|gotta|lemme|gimme|wanna/i, tokens: (text) => [text.slice(0, 3), text.slice(3)] },
  { pattern: new RegExp(`more${apostrophe}n`, 'i'), tokens: (text) => straight(text).flatMap(cut(2)) },
  { pattern: /'t(?:is|was)/i, tokens: (text) => [text.slice(0, 2), text.slice(2)] },
  { pattern: new RegExp(`([A-Za-z]+?)n${apostrophe}t`, 'i') },
  { pattern: new RegExp(`n${apostrophe}t`, 'iu'), tokens: straight },
  { pattern: new RegExp(`(${word})${apostrophe}(?:[msd]|re|ve|ll)${wordEnds}`, 'iu') },
  { pattern: new RegExp(`(${apostrophe}(?:[msd]|re|ve|ll))${wordEnds}`, 'iu'), tokens: straight },
  // Words with an apostrophe that are one.
  { pattern: new RegExp(`[A-HJ-XZn]${apostrophe}${L}{2,}`, 'u') },
  { pattern: new RegExp(`${L}+[aeiouyAEIOUY]${apostrophe}[aeiouA-Z]${L}*`, 'u') },
  { pattern: new RegExp(`${apostrophe}(?:em|till?|cause|n${apostrophe}?)`, 'i') },
  { pattern: new RegExp(`c${apostrophe}(?:mon|est)|(?:e|ne|o)${apostrophe}er|ev${apostrophe}ry`, 'i') },
  { pattern: new RegExp(`(?:ol|dunkin|somethin)${apostrophe}`, 'i') },
  { pattern: new RegExp(`li${apostrophe}l|nat${apostrophe}l|nor${apostrophe}easter|s${apostrophe}mores`, 'i') },
  { pattern: new RegExp(`[ldjy]${apostrophe}`, 'i') },
  { pattern: new RegExp(`${apostrophe}(?:[2-9]0s|\\d\\d(?=\\s|$))`) },
  // Words.
  { pattern: new RegExp(word, 'u') },
  { pattern: new RegExp(thing, 'u') },
  { pattern: new RegExp(hyphenated) },
  { pattern: /[A-Z]+(?:(?:[+&]|&amp;)[A-Z]+)+/, tokens: (text) => [text.replace(/&amp;/g, '&')] },
  { pattern: new RegExp(`${LN}+(?:_${LN}+)+`, 'u') },
  { pattern: new RegExp(`${slashPart}(?:/${slashPart}){1,2}`) },
  { pattern: /C\+\+|[CF]#/i },
  { pattern: /(?:pro|anti)-/i },
  // Abbreviations keep their full stop, and so does every word before a comma.
  { pattern: new RegExp(`${acronym}\\.?`) },
  { pattern: new RegExp(`[A-Za-z]\\.(?!\\s+(?:(?:${starter})(?=\\s|$)|M[rs]\\.))`) },
  { pattern: /(?:Ph|Ed)\.D\.?/i },
  { pattern: abbreviation },
  { pattern: abbreviationBeforeDigit },
  { pattern: new RegExp(`((?:${word}|${thing}|${hyphenated})\\.)[,;:]`, 'u') },
  // Numbers.
  { pattern: /[+-]?(?:\d*(?:[.:,]\d+)+|\d+)/ },
  { pattern: /(?:\d{1,4}[- \u00a0])?\d{1,4}\/\d{1,4}/, tokens: unbroken },
  { pattern: /\d{1,2}[-/]\d{1,2}[-/]\d{2,4}/ },
  {
    pattern: new RegExp(
      `(?:\\(\\d{2,3}\\)${space}?|\\+{0,2}(?:\\d{2,4}[- \\u00a0])?\\d{2,4}[- \\u00a0])\\d{3,4}[- \\u00a0]?\\d{3,5}`,
    ),
    tokens: spelled,
  },
  { pattern: /[¼½¾⅓⅔]/, tokens: (text) => [fractions[text] as string] },
  // Money.
  { pattern: /[A-Z]*\$/ },
  { pattern: /[£#]/, tokens: as('#') },
  { pattern: /[€¤\u0080]/, tokens: as('$') },
  { pattern: /¢/, tokens: as('cents') },
  // Faces.
  { pattern: /[<>]?[:;=][-o*']?[()DPdpO\\{@|[\]](?![A-Za-z])/, tokens: spelled },
  { pattern: /[-^x=~<>']_[-^x=~<>']/ },
  // Marks: those that stay together, and those that are written in another way.
  { pattern: /[()[\]{}]/, tokens: (text) => [brackets[text] as string] },
  { pattern: /\.\.+|…/, tokens: as('...') },
  { pattern: /-{2,}|[–—―\u0096\u0097]/, tokens: as('--') },
  { pattern: unknown, tokens: as() },
  { pattern: /[!?]+/ },
  { pattern: /''|"|[“”«»]/, tokens: as("''") },
  { pattern: /[‘’“”]{2,}/, tokens: (text) => [text.replace(/./g, (mark) => curled[mark] as string)] },
  { pattern: /(')[A-Za-z]\S/ },
  { pattern: /[‘’‹›‛\u0091\u0092]/, tokens: as("'") },
  { pattern: /\*+|_+|<<|>>|##+/ },
  { pattern: /[^\s]/u },
]

const rules: readonly Rule[] = table.map(({ pattern, ...rest }) => ({
  ...rest,
  pattern: new RegExp(pattern.source, `${pattern.flags}y`),
}))

/** The tokens of one line, in lower case. */
export function tokenizePtb(line: string): string[] {
  const tokens: string[] = []
  let at = 0
  while (at < line.length) {
    const next = /\S/g
    next.lastIndex = at
    const start = next.exec(line)?.index
    if (start === undefined) break
    const [text, found] = longestMatch(line, start)
    tokens.push(...found.map((token) => token.replaceAll('\u00ad', '').toLowerCase()).filter((token) => token !== ''))
    at = start + text.length
  }
  return tokens
}

function longestMatch(line: string, at: number): readonly [string, readonly string[]] {
  let reach = 0
  let text = ''
  let chosen: Rule | undefined
  for (const rule of rules) {
    rule.pattern.lastIndex = at
    const match = rule.pattern.exec(line)
    if (match === null || match[0].length <= reach) continue
    reach = match[0].length
    text = match[1] ?? match[0]
    chosen = rule
  }
  return [text, chosen?.tokens?.(text) ?? [text]]
}

const dropped = new Set(["''", "'", '``', '`', '.', '?', '!', ',', ':', '-', '--', '...', ';'])

/**
 * The words that MS COCO's caption evaluation compares: tokens without punctuation. Round brackets stay, because the
 * evaluation looks for them in capitals.
 */
export const captionWords = (text: string): string[] =>
  tokenizePtb(text.replace(/[\r\n]+/g, ' ')).filter((token) => !dropped.has(token))
