/** A queue that is read as an async iterable: what was pushed before it is read waits. */
export class TokenStream<T> implements AsyncIterable<T> {
  readonly #items: T[] = []
  #end: { readonly error: unknown } | 'done' | null = null
  #wake: (() => void) | null = null

  push(item: T): void {
    this.#items.push(item)
    this.#notify()
  }

  end(): void {
    this.#end ??= 'done'
    this.#notify()
  }

  /** Readers get the error after what was pushed. */
  fail(error: unknown): void {
    this.#end ??= { error }
    this.#notify()
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    for (;;) {
      const item = this.#items.shift()
      if (item !== undefined) yield item
      else if (this.#end === 'done') return
      else if (this.#end !== null) throw this.#end.error
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
    }
  }

  #notify(): void {
    this.#wake?.()
    this.#wake = null
  }
}
