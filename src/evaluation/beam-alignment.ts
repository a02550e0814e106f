/** Word alignment with fewest edits, in the beam that tercom 0.7.25 searches (Snover et al. 2006). Words are numbers. */

/** How a path reaches a cell: by a match, a substitution, a word that is only in the output or only in the reference. */
export const step = { match: 0, substitution: 1, insertion: 2, deletion: 3 } as const

const unset = -1

/** Cells that cost this much more than the best diagonal step into their column are not followed. */
const beamWidth = 20

/** Aligns outputs with one reference. Holds its tables, so that the many shifts of one output are cheap to try. */
export class BeamAligner {
  readonly #reference: Int32Array
  #costs = new Int32Array(0)
  #steps = new Uint8Array(0)

  constructor(reference: Int32Array) {
    this.#reference = reference
  }

  /** The least number of edits that the beam finds. */
  edits(words: Int32Array): number {
    const rows = this.#reference.length + 1
    const cells = rows * (words.length + 1)
    if (this.#costs.length < cells) {
      this.#costs = new Int32Array(cells)
      this.#steps = new Uint8Array(cells)
    }
    this.#costs.fill(unset, 0, cells)
    this.#costs[0] = 0
    let column: Column = { first: 0, last: 0, best: Number.POSITIVE_INFINITY }
    for (let j = 0; j < words.length; j++) column = this.#advance(j, words[j] as number, column)
    this.#finish(words.length, column)
    return this.#costs[cells - 1] as number
  }

  /** The steps of the alignment whose edits were counted last, from the first word on. */
  path(words: Int32Array): Uint8Array {
    const rows = this.#reference.length + 1
    const path: number[] = []
    let i = this.#reference.length
    let j = words.length
    while (i > 0 || j > 0) {
      const taken = this.#steps[j * rows + i] as number
      path.push(taken)
      if (taken !== step.deletion) j -= 1
      if (taken !== step.insertion) i -= 1
    }
    return Uint8Array.from(path.reverse())
  }

  /**
   * From the cells of column j to those of column j + 1. Of equal costs a diagonal step stays, then an insertion: only a
   * step that is cheaper replaces another. What bounds the beam is the best diagonal step, not the best cell.
   */
  #advance(j: number, word: number, { first, last: reached, best }: Column): Column {
    const reference = this.#reference
    const costs = this.#costs
    const steps = this.#steps
    const here = j * (reference.length + 1)
    const next = here + reference.length + 1
    const limit = best + beamWidth
    const column = { first: unset, last: unset, best: Number.POSITIVE_INFINITY }
    let last = reached
    for (let i = first; i <= last && i <= reference.length; i++) {
      const cost = costs[here + i] as number
      if (cost === unset || cost > limit) continue
      if (column.first === unset) column.first = i
      if (i < reference.length) {
        const matches = reference[i] === word
        const diagonal = matches ? cost : cost + 1
        costs[next + i + 1] = diagonal
        steps[next + i + 1] = matches ? step.match : step.substitution
        if (diagonal < column.best) column.best = diagonal
        if (this.#offer(here + i + 1, cost + 1, step.deletion)) last = Math.max(last, i + 1)
      }
      column.last = i + 1
      this.#offer(next + i, cost + 1, step.insertion)
    }
    return column
  }

  /** In the last column only words of the reference are left, and no cell is too costly. */
  #finish(columns: number, { first, last: reached }: Column): void {
    const rows = this.#reference.length + 1
    let last = reached
    for (let i = first; i <= last && i < rows - 1; i++) {
      const cost = this.#costs[columns * rows + i] as number
      if (cost === unset) continue
      if (this.#offer(columns * rows + i + 1, cost + 1, step.deletion)) last = Math.max(last, i + 1)
    }
  }

  #offer(cell: number, cost: number, taken: number): boolean {
    const present = this.#costs[cell] as number
    if (present !== unset && present <= cost) return false
    this.#costs[cell] = cost
    this.#steps[cell] = taken
    return true
  }
}

/** The rows of a column that hold cells, and the least cost of a diagonal step into it. */
interface Column {
  readonly first: number
  readonly last: number
  readonly best: number
}
