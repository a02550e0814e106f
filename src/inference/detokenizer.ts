/** Text out of a stream of tokens: characters that span tokens, and stop strings that begin or end inside one. */
import type { Tokenizer } from '../dylora/tokenizer.ts'
import { errors } from '../errors.ts'

export class Detokenizer {
  readonly #tokenizer: Pick<Tokenizer, 'tokenBytes' | 'isSpecial'>
  readonly #stop: readonly string[]
  /** Holds back the bytes of a character that is not complete. */
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  #published = ''
  /** The end of the text, as far as it may be the beginning of a stop string. */
  #held = ''
  #stopped = false
  /** The last bytes, among which are those of a character that is not complete. */
  #tail: readonly number[] = []

  /** Throws `validation` for an empty stop string, which every text contains. */
  constructor(tokenizer: Pick<Tokenizer, 'tokenBytes' | 'isSpecial'>, stop: readonly string[]) {
    if (stop.includes('')) throw errors.validation('A stop string is empty', { pointer: '/parameters/stop' })
    this.#tokenizer = tokenizer
    this.#stop = stop
  }

  /**
   * The text that may be published after this token, and whether a stop string is complete: then the text ends with
   * it. Special tokens, and all tokens after the stop, add no text.
   */
  push(id: number): { readonly delta: string; readonly stopped: boolean } {
    if (this.#stopped || this.#tokenizer.isSpecial(id)) return { delta: '', stopped: this.#stopped }
    const bytes = this.#tokenizer.tokenBytes(id)
    this.#tail = [...this.#tail, ...bytes].slice(-3)
    const text = this.#held + this.#decoder.decode(bytes, { stream: true })
    const end = stopEnd(text, this.#stop)
    this.#stopped = end !== null
    return { delta: this.#publish(text, end ?? text.length - heldLength(text, this.#stop)), stopped: this.#stopped }
  }

  /** What is still held back at the end; an incomplete character becomes U+FFFD. Empty when stopped. */
  flush(): string {
    const rest = this.#decoder.decode()
    if (this.#stopped) return ''
    const text = this.#held + rest
    return this.#publish(text, text.length)
  }

  /** Another that goes on from the same place. */
  fork(): Detokenizer {
    const fork = new Detokenizer(this.#tokenizer, this.#stop)
    // A character has four bytes at most, and whatever comes before its first one does not matter to it.
    fork.#decoder.decode(Uint8Array.from(this.#tail), { stream: true })
    fork.#tail = this.#tail
    fork.#published = this.#published
    fork.#held = this.#held
    fork.#stopped = this.#stopped
    return fork
  }

  /** All characters so far, published or held back, up to and with the stop string. */
  get text(): string {
    return this.#published + this.#held
  }

  #publish(text: string, length: number): string {
    const delta = text.slice(0, length)
    this.#published += delta
    this.#held = this.#stopped ? '' : text.slice(length)
    return delta
  }
}

/** Where the stop string that is complete first ends; null without one. */
function stopEnd(text: string, stop: readonly string[]): number | null {
  const ends = stop.flatMap((string) => {
    const start = text.indexOf(string)
    return start < 0 ? [] : [start + string.length]
  })
  return ends.length === 0 ? null : Math.min(...ends)
}

/** The length of the longest end of the text that a stop string begins with. */
function heldLength(text: string, stop: readonly string[]): number {
  return Math.max(0, ...stop.map((string) => overlap(text, string)))
}

function overlap(text: string, string: string): number {
  let length = Math.min(text.length, string.length - 1)
  while (length > 0 && !text.endsWith(string.slice(0, length))) length--
  return length
}
