/** TER as WebNLG's and DART's script takes it from pyter: for each text the best reference, and the mean over texts. */
import { EditTable } from './edit-table.ts'
import type { Metric } from './metric.ts'
import { tokenizeNltk } from './nltk-words.ts'

/** 0 or more, and not above 1 unless outputs are longer than the references. Each instance counts its TER and 1. */
export const terPyter: Metric = {
  higherIsBetter: false,
  tokenisation: "NLTK's word_tokenize with plain rules for sentence ends, case kept",
  instances: (hypotheses, references) =>
    hypotheses.map((text, i) => {
      const words = tokenizeNltk(text)
      const scores = (references[i] ?? []).map((reference) => pyter(words, tokenizeNltk(reference)))
      return Float64Array.of(Math.min(...scores), 1)
    }),
  combine: ([sum = 0, instances = 0]) => sum / instances,
}

/** Edits and shifts for each reference word; 1 without any reference words. */
function pyter(output: readonly string[], referenceWords: readonly string[]): number {
  if (referenceWords.length === 0) return 1
  const numbers = numberInOrder([...output, ...referenceWords])
  const reference = Int32Array.from(referenceWords, (word) => numbers.get(word) as number)
  let words: Int32Array = Int32Array.from(output, (word) => numbers.get(word) as number)
  let shifts = 0
  for (;;) {
    const table = new EditTable(words, reference)
    const shifted = bestShift(words, reference, table)
    if (shifted === undefined) return (shifts + table.distance) / reference.length
    words = shifted
    shifts += 1
  }
}

/** Numbers in the order of Python's strings, by code points, which is that of UTF-8 bytes: ties are settled by it. */
function numberInOrder(words: readonly string[]): Map<string, number> {
  const sorted = [...new Set(words)].map((word) => Buffer.from(word)).sort(Buffer.compare)
  return new Map(sorted.map((bytes, number) => [bytes.toString(), number]))
}

/** The shift after which fewest edits are left, the last in dictionary order of the texts; undefined if none helps. */
function bestShift(words: Int32Array, reference: Int32Array, table: EditTable): Int32Array | undefined {
  let best: Int32Array | undefined
  let fewest = table.distance - 1
  for (const [from, to, length] of commonPhrases(words, reference)) {
    const shifted = moved(words, from, to, length)
    const distance = table.distanceOf(shifted, Math.min(from, to), Math.min(words.length, Math.max(from, to) + length))
    if (distance > fewest || (distance === fewest && best !== undefined && !follows(shifted, best))) continue
    best = shifted
    fewest = distance
  }
  return best
}

/** Longest common phrases from every pair of equal words that stand at different places. */
function* commonPhrases(words: Int32Array, reference: Int32Array): Generator<readonly [number, number, number]> {
  for (let from = 0; from < words.length; from++) {
    for (let to = 0; to < reference.length; to++) {
      if (from === to || words[from] !== reference[to]) continue
      let length = 1
      while (
        from + length < words.length &&
        to + length < reference.length &&
        words[from + length] === reference[to + length]
      ) {
        length += 1
      }
      yield [from, to, length]
    }
  }
}

/** The phrase is cut out first; `to` counts in what is left, and is its end at most. */
function moved(words: Int32Array, from: number, to: number, length: number): Int32Array {
  const shifted = words.slice()
  const target = Math.min(to, words.length - length)
  shifted.copyWithin(from, from + length)
  shifted.copyWithin(target + length, target, words.length - length)
  shifted.set(words.subarray(from, from + length), target)
  return shifted
}

function follows(a: Int32Array, b: Int32Array): boolean {
  const at = a.findIndex((word, i) => word !== b[i])
  return at >= 0 && (a[at] as number) > (b[at] as number)
}
