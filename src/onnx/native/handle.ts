/** Ownership of native objects: released once, when the last owner lets go. */
import type { Pointer } from './library.ts'

export class Handle {
  readonly #release: (pointer: Pointer) => void
  #pointer: Pointer
  #owners = 1

  constructor(pointer: Pointer, release: (pointer: Pointer) => void) {
    this.#pointer = pointer
    this.#release = release
  }

  /** The native object; throws after its release. */
  get pointer(): Pointer {
    if (this.#owners === 0) throw new TypeError('expected an open native object, got a released one')
    return this.#pointer
  }

  /** One more owner. */
  retain(): this {
    if (this.#owners === 0) throw new TypeError('expected an open native object, got a released one')
    this.#owners += 1
    return this
  }

  /** One owner less; each owner calls this once. */
  release(): void {
    if (this.#owners === 0) throw new TypeError('expected an open native object, got a released one')
    this.#owners -= 1
    if (this.#owners > 0) return
    this.#release(this.#pointer)
    this.#pointer = 0n
  }
}
