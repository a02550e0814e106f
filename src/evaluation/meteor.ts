/** METEOR 1.5 (Denkowski and Lavie 2014) for English, tuned to rankings, without its table of paraphrases. */
import { isFunctionWord } from './function-words.ts'
import { align, type Lexeme, lexeme, type Match, stages } from './meteor-alignment.ts'
import { meteorWords } from './meteor-words.ts'
import type { Metric } from './metric.ts'
import { captionWords } from './ptb-tokenizer.ts'

/** How much recall weighs against precision; the penalty's exponent and height; how much content words weigh. */
const [alpha, beta, gamma, delta] = [0.85, 0.2, 0.6, 0.75]
/** How much a match of each stage is worth: exact, stem, synonym. */
const weights = [1, 0.6, 0.8]

const leftOut = 'without paraphrases'

/** As e2e-metrics runs it, on captions: 0 to 1. */
export const meteor: Metric = meteorMetric(
  `as Stanford's PTBTokenizer 3.4.1, punctuation dropped, then METEOR's -norm; ${leftOut}`,
  (text) => meteorWords(captionWords(text).join(' ')),
)

/** As `meteor-1.5.jar -l en -norm` on text, which WebNLG and DART report: 0 to 1. */
export const meteorText: Metric = meteorMetric(`METEOR's -norm; ${leftOut}`, meteorWords)

/** The layout of the counts of a text: words, function words, then of each stage matched content and function words. */
const stagesAt = 2
const sideSize = stagesAt + 2 * stages.length
/** An instance has those of the hypothesis, then those of the reference, then chunks. */
const chunksAt = 2 * sideSize

function meteorMetric(tokenisation: string, words: (text: string) => string[]): Metric {
  return {
    higherIsBetter: true,
    tokenisation,
    instances: (hypotheses, references) => {
      const lexemes = lexicon(words)
      return hypotheses.map((text, i) => bestReference(lexemes(text), (references[i] ?? []).map(lexemes)))
    },
    combine: meteorOf,
  }
}

/** Turns texts into words to compare, each only once. */
function lexicon(words: (text: string) => string[]): (text: string) => Lexeme[] {
  const known = new Map<string, Lexeme>()
  return (text) =>
    words(text).map((word) => {
      const entry = known.get(word) ?? lexeme(word)
      known.set(word, entry)
      return entry
    })
}

/** The counts of the reference that gives the highest score, the first of those that do. */
function bestReference(hypothesis: readonly Lexeme[], references: readonly (readonly Lexeme[])[]): Float64Array {
  const counts = references.map((reference) => countsOf(hypothesis, reference))
  const scores = counts.map((row) => meteorOf(row))
  const best = counts[scores.indexOf(Math.max(...scores))] as Float64Array
  // Texts that match in one piece have no fragments.
  if (isWhole(best)) best[chunksAt] = 0
  return best
}

function countsOf(hypothesis: readonly Lexeme[], reference: readonly Lexeme[]): Float64Array {
  const matches = align(hypothesis, reference)
  const counts = new Float64Array(chunksAt + 1)
  countSide(counts.subarray(0, sideSize), hypothesis, matches, (match) => match.hypothesis)
  countSide(counts.subarray(sideSize, chunksAt), reference, matches, (match) => match.reference)
  counts[chunksAt] = matches.filter((match, i) => {
    const before = matches[i - 1]
    return before?.hypothesis !== match.hypothesis - 1 || before.reference !== match.reference - 1
  }).length
  return counts
}

function countSide(
  counts: Float64Array,
  lexemes: readonly Lexeme[],
  matches: readonly Match[],
  placeOf: (match: Match) => number,
): void {
  const isFunction = lexemes.map(({ word }) => isFunctionWord(word))
  counts[0] = lexemes.length
  counts[1] = isFunction.filter(Boolean).length
  for (const match of matches) {
    const at = stagesAt + 2 * match.stage + (isFunction[placeOf(match)] ? 1 : 0)
    counts[at] = (counts[at] as number) + 1
  }
}

interface Side {
  readonly words: number
  readonly matches: number
  /** Matches for words, both weighted. */
  readonly share: number
}

function sideOf(counts: Float64Array): Side {
  const [words = 0, functionWords = 0] = counts
  const ofStages = (offset: number) => weights.map((_, stage) => counts[stagesAt + 2 * stage + offset] as number)
  const [content, functional] = [ofStages(0), ofStages(1)]
  const weighted =
    delta * sum(content.map((count, stage) => count * (weights[stage] as number))) +
    (1 - delta) * sum(functional.map((count, stage) => count * (weights[stage] as number)))
  const weightedWords = delta * (words - functionWords) + (1 - delta) * functionWords
  return { words, matches: sum(content) + sum(functional), share: weighted / weightedWords }
}

const sidesOf = (counts: Float64Array) =>
  [sideOf(counts.subarray(0, sideSize)), sideOf(counts.subarray(sideSize, chunksAt))] as const

function isWhole(counts: Float64Array): boolean {
  return counts[chunksAt] === 1 && sidesOf(counts).every(({ words, matches }) => matches === words)
}

/** The score of summed counts; 0 where nothing matches. */
function meteorOf(counts: Float64Array): number {
  const [hypothesis, reference] = sidesOf(counts)
  const matches = (hypothesis.matches + reference.matches) / 2
  if (matches === 0) return 0
  const mean = 1 / ((1 - alpha) / hypothesis.share + alpha / reference.share)
  const fragmentation = isWhole(counts) ? 0 : (counts[chunksAt] as number) / matches
  return mean * (1 - gamma * fragmentation ** beta)
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)
