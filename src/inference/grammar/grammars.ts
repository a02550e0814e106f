/** Texts that follow a grammar: which tokens may come next, from a thread of its own. */
import { errors } from '../../errors.ts'
import { type GrammarText, GrammarThread, type GrammarVocabulary, type TokenMask } from './grammar-thread.ts'

const limits = {
  /** Characters of a schema or an expression. */
  text: 65_536,
  /** Grammars that are tried at once. */
  trials: 16,
  /** Grammars that are known to be good, and as many that are kept compiled. */
  known: 256,
  compileMs: 5000,
  stepMs: 10_000,
}

/** As a client gave it. */
export interface GrammarSpec extends GrammarText {
  /** Where it stands in the request, for errors. */
  readonly pointer: string
}

/** A grammar that was tried and is good. */
export interface Grammar {
  /** Follows it from its beginning, for one text. */
  open(): Matcher
}

export class Grammars {
  readonly #vocabulary: GrammarVocabulary
  readonly #known = new Set<string>()
  #matchers = 0
  #open = 0
  #trials = 0
  #lastTrial: Promise<unknown> = Promise.resolve()
  #trial: GrammarThread | null = null
  #service: GrammarThread | null = null

  constructor(vocabulary: GrammarVocabulary) {
    this.#vocabulary = vocabulary
  }

  /** Texts that are being followed. */
  get open(): number {
    return this.#open
  }

  /**
   * Compiles the grammar where a failure harms nobody. Throws `validation` with what the library says, `overloaded` where
   * too many are being tried.
   */
  async prepare({ pointer, ...grammar }: GrammarSpec): Promise<Grammar> {
    const refuse = (reason: string) =>
      errors.validation(`Expected a grammar that can be followed: ${reason}`, { pointer })
    const key = `${grammar.kind} ${grammar.text}`
    if (this.#vocabulary.eosTokenIds.length === 0) throw refuse('the base model has no token that ends a text')
    if (grammar.text.length > limits.text) {
      throw refuse(`expected at most ${limits.text} characters, got ${grammar.text.length}`)
    }
    const fault = faultOf(grammar)
    if (fault !== null) throw refuse(fault)
    if (!this.#known.has(key)) await this.#try(grammar, refuse)
    this.#remember(key)
    return { open: () => this.#follow(grammar) }
  }

  async #try(grammar: GrammarText, refuse: (reason: string) => Error): Promise<void> {
    if (this.#trials >= limits.trials) {
      throw errors.overloaded(`${this.#trials} grammars are being tried, ${limits.trials} may`)
    }
    this.#trials += 1
    const trial = this.#lastTrial.then(() => this.#thread('trial').call({ op: 'compile', grammar }))
    this.#lastTrial = trial.catch(() => {})
    try {
      await trial
    } catch (error) {
      throw refuse(error instanceof Error ? error.message : String(error))
    } finally {
      this.#trials -= 1
    }
  }

  #remember(key: string): void {
    this.#known.delete(key)
    this.#known.add(key)
    const [oldest] = this.#known
    if (this.#known.size > limits.known && oldest !== undefined) this.#known.delete(oldest)
  }

  #follow(grammar: GrammarText): Matcher {
    const matcher = this.#matchers++
    const thread = this.#thread('service')
    this.#open += 1
    return new Matcher({
      opened: thread.call({ op: 'open', matcher, grammar }),
      accept: (token) => thread.call({ op: 'accept', matcher, token }),
      close: () => {
        this.#open -= 1
        if (!thread.isOver) thread.call({ op: 'close', matcher }).catch(() => {})
      },
    })
  }

  /** Made when it is needed, and anew when the one before has ended. */
  #thread(which: 'trial' | 'service'): GrammarThread {
    const [trial, service] = [this.#trial, this.#service]
    const old = which === 'trial' ? trial : service
    if (old !== null && !old.isOver) return old
    const vocabulary = this.#vocabulary
    if (which === 'trial') {
      this.#trial = new GrammarThread({ vocabulary, kept: 0, limitMs: limits.compileMs })
      return this.#trial
    }
    this.#service = new GrammarThread({ vocabulary, kept: limits.known, limitMs: limits.stepMs })
    return this.#service
  }

  async close(): Promise<void> {
    await Promise.all([this.#trial?.close(), this.#service?.close()])
  }
}

/** What is wrong before the library looks at it; null where nothing is. */
function faultOf({ kind, text }: GrammarText): string | null {
  if (kind === 'regex') return text === '' ? 'expected a regular expression, got an empty one' : null
  try {
    const schema: unknown = JSON.parse(text)
    const isSchema =
      typeof schema === 'boolean' || (typeof schema === 'object' && schema !== null && !Array.isArray(schema))
    return isSchema ? null : 'expected a JSON schema, which is an object'
  } catch (error) {
    return `expected a JSON schema: ${error instanceof Error ? error.message : error}`
  }
}

interface MatcherOptions {
  readonly opened: Promise<TokenMask>
  readonly accept: (token: number) => Promise<TokenMask>
  readonly close: () => void
}

/** One text on its way through a grammar. */
export class Matcher {
  readonly #options: MatcherOptions
  #ready: Promise<void>
  #mask: TokenMask = null
  #scores = new Float32Array(0)
  #isOpen = true

  constructor(options: MatcherOptions) {
    this.#options = options
    this.#ready = this.#take(options.opened)
  }

  /** Resolves when it is known what may come next; rejects with `generation`. */
  get ready(): Promise<void> {
    return this.#ready
  }

  /** A copy of the scores in which what may not come next is ruled out; valid until the next call. */
  constrain(scores: Float32Array): Float32Array {
    if (this.#scores.length !== scores.length) this.#scores = new Float32Array(scores.length)
    const [allowed, mask] = [this.#scores, this.#mask]
    for (let id = 0; id < scores.length; id++) {
      const isAllowed = mask !== null && (((mask[id >> 5] as number) >>> (id & 31)) & 1) === 1
      allowed[id] = isAllowed ? (scores[id] as number) : Number.NEGATIVE_INFINITY
    }
    return allowed
  }

  /** The token that was chosen; what may follow is found meanwhile. */
  accept(token: number): void {
    this.#ready = this.#take(this.#options.accept(token))
  }

  /** Idempotent. */
  close(): void {
    if (this.#isOpen) this.#options.close()
    this.#isOpen = false
  }

  #take(answer: Promise<TokenMask>): Promise<void> {
    const taken = answer.then(
      (mask) => {
        this.#mask = mask
      },
      (error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error)
        throw errors.generation(`The grammar can no longer be followed: ${reason}`)
      },
    )
    // Whoever waits for it hears of it; after the last token nobody does.
    taken.catch(() => {})
    return taken
  }
}
