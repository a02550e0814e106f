/** The rows of a batch: who computes in which slot of the cache, and how rows branch off each other. */
import type { Branch } from './decoder.ts'
import type { KvCache } from './kv-cache.ts'
import { Slots } from './slots.ts'

export interface Row<T> {
  readonly owner: T
  slot: number
  /** Tokens in the cache. */
  cached: number
  /** Tokens since the prompt; the last of them is fed next. */
  generated: readonly number[]
}

/** What a branch becomes: its parent, another row that is there and copies from its parent, or a new one (null). */
interface Placement<R> {
  readonly row: R | null
  readonly parent: R
  /** How many tokens since the prompt the row has in common with its parent. */
  readonly shared: number
}

type Generated = Pick<Row<unknown>, 'generated'>

/**
 * Where branches go, in their order, at the least copying: the first of a parent stays in the parent's place, the others
 * take those rows without a branch that have most in common with their parent, or new ones.
 */
export function place<R extends Generated>(rows: readonly R[], branches: readonly Branch[]): Placement<R>[] {
  const parents = branches.map(({ parent }) => rows[parent] as R)
  const free = rows.filter((row) => !parents.includes(row))
  return parents.map((parent, i) => {
    if (parents.indexOf(parent) === i) return { row: parent, parent, shared: parent.generated.length }
    const [best] = free.toSorted((a, b) => sharedLength(b, parent) - sharedLength(a, parent))
    if (best === undefined) return { row: null, parent, shared: 0 }
    free.splice(free.indexOf(best), 1)
    return { row: best, parent, shared: sharedLength(best, parent) }
  })
}

/** Rows of one prompt with the same first tokens hold the same keys and values: they were one row then. */
function sharedLength({ generated: a }: Generated, { generated: b }: Generated): number {
  let length = 0
  while (length < a.length && a[length] === b[length]) length++
  return length
}

export class Rows<T> {
  readonly #slots: Slots<Row<T>>
  readonly #cache: KvCache

  /** `movesSlots`: is copying a slot cheap enough to keep the active ones together? */
  constructor(cache: KvCache, size: number, movesSlots: boolean) {
    const move = (from: number, to: number, { cached }: Row<T>) => cache.copySlot(from, to, 0, cached)
    this.#cache = cache
    this.#slots = new Slots(size, movesSlots ? move : null)
  }

  /** Active rows. */
  items(): Row<T>[] {
    return this.#slots.items()
  }

  /** A row for every slot up to the last active one; null for those that are free or in prefill. */
  span(): readonly (Row<T> | null)[] {
    return this.#slots.span()
  }

  /** A row for a prefill, active only when that is done. */
  reserve(owner: T): Row<T> {
    return { owner, slot: this.#slots.reserve(), cached: 0, generated: [] }
  }

  activate(row: Row<T>): void {
    row.slot = this.#slots.activate(row.slot, row)
  }

  /** The rows of the branches, in their order; rows without a branch are released. */
  branch(rows: readonly Row<T>[], branches: readonly Branch[]): Row<T>[] {
    const placements = place(rows, branches)
    const next = placements.map(({ row, parent, shared }) => {
      if (row === parent) return row
      const target = row ?? this.#add(parent.owner)
      const first = row === null ? 0 : parent.cached - parent.generated.length + shared
      this.#cache.copySlot(parent.slot, target.slot, first, parent.cached)
      target.cached = parent.cached
      return target
    })
    for (const [i, row] of next.entries()) row.generated = branches[i]?.generated ?? []
    for (const row of rows) if (!next.includes(row)) this.release(row)
    return next
  }

  #add(owner: T): Row<T> {
    const row = this.reserve(owner)
    this.activate(row)
    return row
  }

  /** The last active row may move into the hole. */
  release(row: Row<T>): void {
    const moved = this.#slots.release(row.slot)
    if (moved !== null) moved.item.slot = moved.slot
  }
}
