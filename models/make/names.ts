/** Invented names: venues, people, towns, titles. Copying them is what the corpus teaches, so there are very many. */
import type { Dice } from './dice.ts'
import { adjectives, givenNames, nouns, placeEndings, placeStarts, surnames, venueNouns } from './words.ts'

export type NameMaker = (dice: Dice) => string

const onsets =
  'b br c ch cl cr d dr f fl fr g gl gr h j k kl l m n p pl pr qu r s sc sh sk sl st str t th tr v w y z'.split(' ')
const innerOnsets = 'b c d f g l l m n n p r r s t t v w ll tt nn'.split(' ')
const vowels = 'a a a e e e i i o o o u ai ea ee ia io oo ou é'.split(' ')
const codas = ' | | | |b|ck|l|ll|m|n|nd|nt|r|rd|rn|s|ss|st|t|tt|x|zz'.split('|').map((coda) => coda.trim())
const finals = ['a', 'o', 'i', 'ia', 'ino', 'etta', 'elle', 'um', 'ix', 'aro', 'eo', 'us', 'is', 'y', 'es', 'an', 'en']

const capital = (word: string) => word.charAt(0).toUpperCase() + word.slice(1)

/** A word that nobody has read before, such as "Brentello": one to three syllables and an ending. */
export function inventedWord(dice: Dice): string {
  let word = ''
  const syllables = dice.weighted([
    [6, 1],
    [5, 2],
    [1, 3],
  ])
  for (let i = 0; i < syllables; i++)
    word +=
      dice.pick(i === 0 ? onsets : innerOnsets) +
      dice.pick(vowels) +
      (i === 0 || dice.chance(0.3) ? dice.pick(codas) : '')
  if (dice.chance(0.6))
    word += (/[aeiouyé]$/.test(word) ? dice.pick(['n', 'r', 't', 'l', 's', 'd']) : '') + dice.pick(finals)
  return capital(word)
}

export const townName: NameMaker = (dice) =>
  dice.weighted<NameMaker>([
    [5, (d) => d.pick(placeStarts) + d.pick(placeEndings)],
    [2, inventedWord],
    [
      1,
      (d) =>
        `${d.pick(['Upper', 'Lower', 'Great', 'Little', 'Saint', 'Port', 'New', 'Old'])} ${d.pick(placeStarts)}${d.pick(placeEndings)}`,
    ],
    [
      1,
      (d) =>
        `${d.pick(placeStarts)}${d.pick(placeEndings)} ${d.pick(['Heath', 'Green', 'Cross', 'Park', 'Bay', 'Falls'])}`,
    ],
  ])(dice)

export const personName: NameMaker = (dice) => {
  const family = dice.chance(0.2) ? inventedWord(dice) : dice.pick(surnames)
  return dice.chance(0.12)
    ? `${dice.pick(givenNames)} ${dice.pick(givenNames)} ${family}`
    : `${dice.pick(givenNames)} ${family}`
}

const proper: NameMaker = (dice) =>
  dice.weighted<NameMaker>([
    [3, inventedWord],
    [2, (d) => d.pick(surnames)],
    [2, (d) => d.pick(placeStarts) + d.pick(placeEndings)],
    [1, (d) => d.pick(givenNames)],
  ])(dice)

const plural = (noun: string) =>
  /(s|sh|ch|x)$/.test(noun) ? `${noun}es` : noun.replace(/([^aeiou])y$/, '$1ie').concat('s')

export const venueName: NameMaker = (dice) =>
  dice.weighted<NameMaker>([
    [10, (d) => `The ${d.pick(nouns)}`],
    [4, (d) => `The ${plural(d.pick(nouns))}`],
    [8, (d) => `The ${d.pick(adjectives)} ${d.pick(nouns)}`],
    [5, (d) => `${d.pick(adjectives)} ${d.pick(nouns)}`],
    [10, inventedWord],
    [5, (d) => `The ${inventedWord(d)}`],
    [3, (d) => plural(d.pick(nouns))],
    [3, (d) => d.pick(nouns)],
    [6, (d) => `${proper(d)} ${d.pick(venueNouns)}`],
    [5, (d) => `The ${proper(d)} ${d.pick(venueNouns)}`],
    [5, (d) => `${d.pick(['Café', 'Café', 'Bar', 'Casa', 'Chez', 'Hotel', 'Villa', 'Club'])} ${proper(d)}`],
    [3, (d) => `The ${d.pick(nouns)} ${d.pick(nouns)}`],
    [3, (d) => `${d.pick(nouns)} ${d.pick(venueNouns)}`],
    [3, (d) => `${d.pick(adjectives)} ${d.pick(nouns)} ${d.pick(venueNouns)}`],
    [2, (d) => `${d.pick(nouns)} ${d.pick(['and', '&'])} ${d.pick(nouns)}`],
    [2, (d) => `${proper(d)} ${proper(d)}`],
    [2, (d) => `${d.pick(nouns)} by ${proper(d)} ${d.pick(venueNouns)}`],
    [2, (d) => `The ${d.pick(nouns)} at ${townName(d)}`],
    [2, (d) => `${d.pick(['Taste', 'House', 'Flavours', 'Spirit', 'Corner'])} of ${townName(d)}`],
    [1, (d) => `${d.pick(['Bar', 'Room', 'Number', 'Studio', 'Table'])} ${d.integer(1, 99)}`],
    [1, (d) => `All ${d.pick(nouns)} ${d.pick(['One', 'Two', 'Day', 'Night'])}`],
  ])(dice)

export const titleName: NameMaker = (dice) =>
  dice.weighted<NameMaker>([
    [4, (d) => `The ${d.pick(adjectives)} ${d.pick(nouns)}`],
    [3, (d) => `The ${d.pick(nouns)} of ${townName(d)}`],
    [3, (d) => `${d.pick(nouns)} and ${d.pick(nouns)}`],
    [2, (d) => `One ${d.pick(nouns)} for ${d.pick(givenNames)}`],
    [2, (d) => `${d.pick(givenNames)} and the ${d.pick(nouns)}`],
    [
      2,
      (d) => `${d.pick(['Under', 'Beyond', 'After', 'Against', 'Before'])} the ${d.pick(adjectives)} ${d.pick(nouns)}`,
    ],
    [1, (d) => `${d.pick(adjectives)} ${plural(d.pick(nouns))}`],
    [1, inventedWord],
  ])(dice)

export const brandName: NameMaker = (dice) =>
  dice.weighted<NameMaker>([
    [4, inventedWord],
    [2, (d) => `${inventedWord(d)} ${d.integer(1, 900)}`],
    [2, (d) => `${d.pick(surnames)} ${d.pick(nouns)}`],
    [1, (d) => `${d.pick(nouns)} ${d.pick(['Pro', 'Mini', 'Plus', 'Max', 'Lite', 'One'])}`],
    [1, (d) => `${inventedWord(d)} ${'ABCDEFGHKLMNPRSTVXZ'[d.integer(0, 18)]}${d.integer(1, 99)}`],
  ])(dice)
