/** Stems of English words by Snowball's English algorithm (Porter2, snowballstem.org), as METEOR 1.5 has it. */

interface Regions {
  /** The word, in lower case, with Y where y is a consonant. */
  readonly word: string
  /** Where R1 and R2 start: after the first non-vowel that follows a vowel, and after the next such place. */
  readonly r1: number
  readonly r2: number
}

/** A suffix, and what becomes of the word that ends in it; `undefined` if nothing. */
type Rule = readonly [suffix: string, replace: (regions: Regions, stem: string) => string | undefined]

const special: Readonly<Record<string, string>> = {
  skis: 'ski',
  skies: 'sky',
  dying: 'die',
  lying: 'lie',
  tying: 'tie',
  idly: 'idl',
  gently: 'gentl',
  ugly: 'ugli',
  early: 'earli',
  only: 'onli',
  singly: 'singl',
}
const invariant = new Set('sky news howe atlas cosmos bias andes'.split(' '))
const doneAfterPlurals = new Set('inning outing canning herring earring proceed exceed succeed'.split(' '))

const vowel = /[aeiouy]/
const doubled = /(?:bb|dd|ff|gg|mm|nn|pp|rr|tt)$/
/** The word ends in a short syllable. */
const shortSyllable = /(?:^[aeiouy][^aeiouy]|[^aeiouy][aeiouy][^aeiouywxY])$/

const inR1 =
  (replacement: string) =>
  ({ r1 }: Regions, stem: string) =>
    stem.length >= r1 ? stem + replacement : undefined
const inR2 =
  (replacement: string) =>
  ({ r2 }: Regions, stem: string) =>
    stem.length >= r2 ? stem + replacement : undefined
const always = (replacement: string) => (_: Regions, stem: string) => stem + replacement
const keep = () => undefined

/** Longest suffixes first: the first that the word ends in decides, whether it changes the word or not. */
const steps: readonly (readonly Rule[])[] = [
  [
    ["'s'", always('')],
    ["'s", always('')],
    ["'", always('')],
  ],
  [
    ['sses', always('ss')],
    ['ied', (_, stem) => stem + (stem.length > 1 ? 'i' : 'ie')],
    ['ies', (_, stem) => stem + (stem.length > 1 ? 'i' : 'ie')],
    ['us', keep],
    ['ss', keep],
    ['s', (_, stem) => (vowel.test(stem.slice(0, -1)) ? stem : undefined)],
  ],
  [
    ['eedly', inR1('ee')],
    ['ingly', dropVerbEnding],
    ['edly', dropVerbEnding],
    ['eed', inR1('ee')],
    ['ing', dropVerbEnding],
    ['ed', dropVerbEnding],
  ],
  [
    ['y', (_, stem) => (/.[^aeiouy]$/.test(stem) ? `${stem}i` : undefined)],
    ['Y', (_, stem) => (/.[^aeiouy]$/.test(stem) ? `${stem}i` : undefined)],
  ],
  [
    ['ational', inR1('ate')],
    ['fulness', inR1('ful')],
    ['iveness', inR1('ive')],
    ['ization', inR1('ize')],
    ['ousness', inR1('ous')],
    ['biliti', inR1('ble')],
    ['lessli', inR1('less')],
    ['tional', inR1('tion')],
    ['alism', inR1('al')],
    ['aliti', inR1('al')],
    ['ation', inR1('ate')],
    ['entli', inR1('ent')],
    ['fulli', inR1('ful')],
    ['iviti', inR1('ive')],
    ['ousli', inR1('ous')],
    ['abli', inR1('able')],
    ['alli', inR1('al')],
    ['anci', inR1('ance')],
    ['ator', inR1('ate')],
    ['enci', inR1('ence')],
    ['izer', inR1('ize')],
    ['bli', inR1('ble')],
    ['ogi', (regions, stem) => (stem.endsWith('l') ? inR1('og')(regions, stem) : undefined)],
    ['li', (regions, stem) => (/[cdeghkmnrt]$/.test(stem) ? inR1('')(regions, stem) : undefined)],
  ],
  [
    ['ational', inR1('ate')],
    ['tional', inR1('tion')],
    ['alize', inR1('al')],
    ['ative', inR2('')],
    ['icate', inR1('ic')],
    ['iciti', inR1('ic')],
    ['ical', inR1('ic')],
    ['ness', inR1('')],
    ['ful', inR1('')],
  ],
  [
    ...'ement able ance ence ible ment ant ate ent ism iti ive ize ous'
      .split(' ')
      .map((suffix): Rule => [suffix, inR2('')]),
    ['ion', (regions, stem) => (/[st]$/.test(stem) ? inR2('')(regions, stem) : undefined)],
    ['al', inR2('')],
    ['er', inR2('')],
    ['ic', inR2('')],
  ],
  [
    ['e', (regions, stem) => (stem.length >= regions.r1 && !shortSyllable.test(stem) ? stem : inR2('')(regions, stem))],
    ['l', (regions, stem) => (stem.endsWith('l') ? inR2('')(regions, stem) : undefined)],
  ],
]

/** The stem of a word in lower case. Words of one or two letters are their own. */
export function englishStem(word: string): string {
  if (word.length <= 2 || invariant.has(word)) return word
  const known = special[word]
  if (known !== undefined) return known
  let stem = markConsonants(word.replace(/^'/, ''))
  const regions = regionsOf(stem)
  for (const [i, rules] of steps.entries()) {
    stem = applied(rules, { ...regions, word: stem })
    if (i === 1 && doneAfterPlurals.has(stem)) break
  }
  return stem.replaceAll('Y', 'y')
}

function applied(rules: readonly Rule[], regions: Regions): string {
  const { word } = regions
  const rule = rules.find(([suffix]) => word.endsWith(suffix))
  return rule?.[1](regions, word.slice(0, word.length - rule[0].length)) ?? word
}

/** y at the start or after a vowel is a consonant. */
function markConsonants(word: string): string {
  let marked = ''
  for (const letter of word) marked += letter === 'y' && (marked === '' || vowel.test(marked.slice(-1))) ? 'Y' : letter
  return marked
}

function regionsOf(word: string): Omit<Regions, 'word'> {
  const after = (start: number) => {
    const found = /[aeiouy][^aeiouy]/.exec(word.slice(start))
    return found === null ? word.length : start + found.index + 2
  }
  const prefix = /^(?:gener|commun|arsen)/.exec(word)
  const r1 = prefix === null ? after(0) : prefix[0].length
  return { r1, r2: after(r1) }
}

/** Without ed or ing, if a vowel is left; with the e or without the doubled letter that the ending cost. */
function dropVerbEnding({ r1 }: Regions, stem: string): string | undefined {
  if (!vowel.test(stem)) return undefined
  if (/(?:at|bl|iz)$/.test(stem)) return `${stem}e`
  if (doubled.test(stem)) return stem.slice(0, -1)
  return stem.length <= r1 && shortSyllable.test(stem) ? `${stem}e` : stem
}
