/** The words that METEOR 1.5 compares under `-l en -norm`: its rules for separating marks, in its order. */

const alpha = 'A-Za-zŠŽšžŸÀ-ÖØ-öø-ž\\u0400-\\u0527\\ua640-\\ua66e\\ua67e-\\ua697\\u1d00-\\u1d7f'
const alphanumeric = `0-9${alpha}`

/** Stands for the full stops of an ellipsis while single ones are looked at. */
const ellipsisDot = '\ue000'

/** Each is applied to the whole line, between two blanks, before the next. */
const separations: readonly (readonly [RegExp, string | ((match: string) => string)])[] = [
  [new RegExp(`[^${alphanumeric}\\t-\\r .'\`,‘’-]`, 'gu'), ' $& '],
  [/\.{2,}/g, (dots) => ` ${ellipsisDot.repeat(dots.length)} `],
  // Commas stay within numbers only.
  [/(\D),(\D)/g, '$1 , $2'],
  [/(\d),(\D)/g, '$1 , $2'],
  [/(\D),(\d)/g, '$1 , $2'],
  [/[`‘’]/g, "'"],
  [/[“”]|''/g, ' " '],
  [/–|--/g, '-'],
  // Hyphenated words count as several.
  [new RegExp(`([${alphanumeric}.])-([${alphanumeric}])`, 'g'), '$1 $2'],
  // Contractions go with their apostrophe.
  [new RegExp(`([^${alpha}])'([^${alpha}])`, 'g'), "$1 ' $2"],
  [new RegExp(`([^${alphanumeric}])'([${alpha}])`, 'g'), "$1 ' $2"],
  [new RegExp(`([${alpha}])'([^${alpha}])`, 'g'), "$1 ' $2"],
  [new RegExp(`([${alpha}])'([${alpha}])`, 'g'), "$1 '$2"],
  [/(\d)'(s)/g, "$1 '$2"],
]

/** The tokens of one line, in lower case. */
export function meteorWords(line: string): string[] {
  let separated = ` ${line} `
  for (const [pattern, replacement] of separations) {
    separated = separated.replace(pattern, replacement as (match: string) => string)
  }
  const words = separated.split(/[\t\n\f\r ]+/).filter((word) => word !== '')
  return words
    .flatMap((word, i) => splitFullStop(word, words[i + 1] ?? ''))
    .flatMap((word) => word.replaceAll(ellipsisDot, '.').split(unicodeBlank))
    .filter((word) => word !== '')
    .map((word) => word.toLowerCase())
}

const unicodeBlank = /[\u00a0\u2000-\u200a\u202f\u205f\u3000]/

/** Titles and the like whose full stop is part of them, in the case in which they are known. */
const titles = new Set([
  ...'A B C D E F G H I J K L M N O P Q R S T U V W X Y Z'.split(' '),
  ...'Adj Adm Adv Asst Bart Bldg Brig Bros Capt Cmdr Col Con Corp Cpl Dr Drs Ens Gen Gov Hon Hosp Hr Insp Lt'.split(
    ' ',
  ),
  ...'Maj Messrs Mlle Mme Mr Mrs Ms Msgr Nos Nr Op Ord Pfc Ph Prof Pvt Rep Reps Res Rev Rt Sen Sens Sfc Sgt'.split(' '),
  ...'Sr St Supt Surg DR MM MR MRS MS rev v vs'.split(' '),
])
const titlesOfNumbers = new Set(['Art', 'No', 'pp'])
const hasLetter = new RegExp(`[${alpha}]`)

/** The full stop at the end is a word of its own, unless it belongs to an abbreviation; U.S. loses its full stops. */
function splitFullStop(word: string, next: string): string[] {
  if (word.length === 1 || !word.endsWith('.')) return [word]
  const bare = word.slice(0, -1)
  if (bare.includes('.') && hasLetter.test(bare)) return [word.replaceAll('.', '')]
  const isAbbreviation = titles.has(bare) || /^[a-z]/.test(next) || (titlesOfNumbers.has(bare) && /^[0-9]/.test(next))
  return isAbbreviation ? [word] : [bare, '.']
}
