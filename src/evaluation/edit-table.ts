/** Levenshtein distance of a text to a reference, kept so that texts which differ in a stretch of words cost little. */
export class EditTable {
  readonly distance: number
  readonly #reference: Int32Array
  readonly #width: number
  /** Distance of the first i words to the first j of the reference, [words + 1, reference + 1]. */
  readonly #starts: Int32Array
  /** Distance of what follows the first i words to what follows the first j of the reference, same shape. */
  readonly #ends: Int32Array
  readonly #scratch: readonly [Int32Array, Int32Array]

  constructor(words: Int32Array, reference: Int32Array) {
    const width = reference.length + 1
    this.#reference = reference
    this.#width = width
    this.#starts = fillTable(words, reference)
    this.#ends = fillTable(words.toReversed(), reference.toReversed()).reverse()
    this.#scratch = [new Int32Array(width), new Int32Array(width)]
    this.distance = this.#ends[0] as number
  }

  /** The distance of a text of as many words, of which those before `from` and those from `until` on are the same. */
  distanceOf(words: Int32Array, from: number, until: number): number {
    let [above, row] = this.#scratch
    above.set(this.#starts.subarray(from * this.#width, (from + 1) * this.#width))
    for (let i = from; i < until; i++) {
      fillRow(row, above, this.#reference, words[i] as number)
      ;[above, row] = [row, above]
    }
    let least = Number.POSITIVE_INFINITY
    const ends = until * this.#width
    for (let j = 0; j < this.#width; j++) {
      least = Math.min(least, (above[j] as number) + (this.#ends[ends + j] as number))
    }
    return least
  }
}

function fillTable(words: Int32Array, reference: Int32Array): Int32Array {
  const width = reference.length + 1
  const table = new Int32Array((words.length + 1) * width)
  for (let j = 0; j < width; j++) table[j] = j
  for (const [i, word] of words.entries()) {
    const above = table.subarray(i * width, (i + 1) * width)
    fillRow(table.subarray((i + 1) * width, (i + 2) * width), above, reference, word)
  }
  return table
}

function fillRow(row: Int32Array, above: Int32Array, reference: Int32Array, word: number): void {
  let diagonal = above[0] as number
  let left = diagonal + 1
  row[0] = left
  for (let j = 1; j < row.length; j++) {
    const up = above[j] as number
    const replaced = reference[j - 1] === word ? diagonal : diagonal + 1
    left = Math.min(replaced, up + 1, left + 1)
    row[j] = left
    diagonal = up
  }
}
