/** The abbreviations whose full stop Stanford's PTBTokenizer 3.4.1 leaves on the word, as asking that tokenizer shows. */

const inAnyCase = [
  'adj adm adv al ala alex apr ariz assn assoc asst atty attys aug ave bancorp bhd bldg blvd brig bros calif capt cf',
  'cie cmdr co col colo comdr conn corp cos cpl ct dak dec dept det dr drs elec ens esq est etc ext feb fla fri ft',
  'ga gen gov govs hon inc ind insp intl invt jan jos jr jul jun kan kans ky lieut lt ltd maj mar md messrs mfg mich',
  'minn mlle mme mo mon mont mr mrs ms msgr mt mtg natl neb nev nov oct okla penn pfc ph plc ppte ppty pres prof',
  'profs pte ptes pty ptys pvt rd rep reps rev rt sen sens sep sept seq sfc sgt spc sq sr st ste supt supts sys tel',
  'tenn thu thurs tue tues univ va vs vt wed wis wisc wm wyo',
]
const capitalised = 'Ark Az Del Ill La Mass Miss Ore Pa Tex Wash'
const beforeDigits = 'art ca fig figs no nos op pp prop'

const oneOf = (words: string) => words.split(' ').join('|')

/** With the full stop, whatever follows. */
export const abbreviation = new RegExp(
  `(?:${anyCase(inAnyCase.join(' '))}|${oneOf(capitalised)}|${oneOf(capitalised.toUpperCase())})\\.`,
)

/** Such as the `no.` of `no. 5`: only a number after it makes these abbreviations. The first group is the token. */
export const abbreviationBeforeDigit = new RegExp(`((?:${anyCase(beforeDigits)})\\.)(?:[ \\u00a0]*\\d)`)

function anyCase(words: string): string {
  return oneOf(words).replace(/[a-z]/g, (letter) => `[${letter}${letter.toUpperCase()}]`)
}
