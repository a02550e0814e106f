/** Which slot of the cache belongs to whom. Active slots are kept a prefix where slots can be moved. */

export type Move<T> = (from: number, to: number, item: T) => void

export class Slots<T> {
  readonly #size: number
  /** Copies a slot; null where that is too dear, so that holes stay and go along idle. */
  readonly #move: Move<T> | null
  readonly #items: (T | null)[] = []
  #reserved: number | null = null

  constructor(size: number, move: Move<T> | null) {
    this.#size = size
    this.#move = move
  }

  /** How many are active. */
  get count(): number {
    return this.items().length
  }

  items(): T[] {
    return this.#items.filter((item): item is T => item !== null)
  }

  /** Every slot up to the last active one; null for those between that are not. */
  span(): readonly (T | null)[] {
    return this.#items
  }

  /** A free slot for a prefill; it stays out of the way of the active ones. Throws when there is none. */
  reserve(): number {
    const hole = this.#items.indexOf(null)
    const slot = hole >= 0 ? hole : this.#items.length
    if (slot >= this.#size) throw new RangeError(`expected a free slot, got ${this.#size} in use`)
    this.#reserved = slot
    return slot
  }

  /** The reserved slot becomes active. Gives the slot where the item is from now on. */
  activate(slot: number, item: T): number {
    this.#reserved = null
    const at = this.#move !== null ? this.#items.length : slot
    if (at !== slot) this.#move?.(slot, at, item)
    while (this.#items.length <= at) this.#items.push(null)
    this.#items[at] = item
    return at
  }

  /** Frees a slot. The last active one may move into the hole; then its item and new slot are given. */
  release(slot: number): { readonly item: T; readonly slot: number } | null {
    if (this.#reserved === slot) this.#reserved = null
    if (slot >= this.#items.length) return null
    const last = this.#items.length - 1
    const item = this.#items[last]
    if (this.#move === null || slot === last || item === null || item === undefined) {
      this.#items[slot] = null
      this.#trim()
      return null
    }
    this.#move(last, slot, item)
    this.#items[slot] = item
    this.#items.pop()
    return { item, slot }
  }

  #trim(): void {
    while (this.#items.length > 0 && this.#items.at(-1) === null) this.#items.pop()
  }
}
