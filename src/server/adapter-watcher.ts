/** Keeps the engine's adapters equal to a store: found at start and when they appear, change or vanish. */
import type { AdapterStore } from '../dylora/store/adapter-store.ts'

/** What is done with what is found; every call is finished before the next begins. */
export interface AdapterSink<T> {
  /** Throws what is wrong with the directory. */
  read(directory: string): Promise<T>
  /** Takes what was read whole, or refuses it. */
  take(name: string, adapter: T): Promise<void>
  /** A directory that cannot be read; what served under this name goes on. */
  refuse(name: string, error: unknown): void
  remove(name: string): void
}

export interface AdapterWatcherOptions<T> {
  readonly store: AdapterStore
  readonly sink: AdapterSink<T>
  /** What goes wrong around the store itself. */
  readonly warn: (error: unknown, message: string) => void
  /** An adapter is read once it has not changed for so long: a plain copy takes its time. */
  readonly settleMs?: number
  /** Looks without being told so often: by default as often as is good for the store. */
  readonly rescanMs?: number
}

/** An adapter as it was seen, and since when it looks like that. */
interface Sighting {
  readonly fingerprint: string
  readonly since: number
}

export class AdapterWatcher<T> {
  readonly #options: Required<AdapterWatcherOptions<T>>
  /** What the sink was last told, by name. */
  readonly #settled = new Map<string, string>()
  /** What looks different and may still be changing, by name. */
  readonly #changing = new Map<string, Sighting>()
  #unwatch: (() => void) | null = null
  #timer: NodeJS.Timeout | null = null
  #rescan: NodeJS.Timeout | null = null
  #looking: Promise<void> = Promise.resolve()
  #closed = false

  constructor(options: AdapterWatcherOptions<T>) {
    this.#options = { settleMs: 300, rescanMs: options.store.lookEveryMs, ...options }
  }

  /** Reads everything that is there at once, then watches. */
  async start(): Promise<void> {
    await this.#enqueue(0)
    if (this.#closed) return
    this.#listen()
    this.#rescan = setInterval(() => {
      this.#listen()
      this.#look()
    }, this.#options.rescanMs)
    // What came between the first look and the first watch.
    this.#lookSoon()
  }

  /** Stops watching; a load under way is finished first. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    if (this.#rescan !== null) clearInterval(this.#rescan)
    this.#unwatch?.()
    await this.#looking
  }

  #listen(): void {
    this.#unwatch ??= this.#options.store.watch(
      () => this.#lookSoon(),
      () => {
        this.#unwatch = null
      },
    )
  }

  #lookSoon(): void {
    if (this.#closed || this.#timer !== null) return
    this.#timer = setTimeout(() => {
      this.#timer = null
      this.#look()
    }, this.#options.settleMs)
  }

  #look(): void {
    this.#enqueue(this.#options.settleMs).catch((error) => this.#options.warn(error, 'looking for adapters failed'))
  }

  /** One look at a time: the next begins when this one has told the sink everything. */
  #enqueue(settleMs: number): Promise<void> {
    const look = this.#looking.then(() => this.#reconcile(settleMs))
    this.#looking = look.catch(() => {})
    return look
  }

  async #reconcile(settleMs: number): Promise<void> {
    const seen = await this.#options.store.list()
    for (const name of new Set([...seen.keys(), ...this.#settled.keys(), ...this.#changing.keys()])) {
      if (this.#closed) return
      const fingerprint = seen.get(name) ?? absent
      if (fingerprint === (this.#settled.get(name) ?? absent)) this.#changing.delete(name)
      else if (this.#isQuiet(name, fingerprint, settleMs)) await this.#settle(name, fingerprint)
      else this.#lookSoon()
    }
  }

  /** Has it looked like this for long enough? */
  #isQuiet(name: string, fingerprint: string, settleMs: number): boolean {
    const now = performance.now()
    const last = this.#changing.get(name)
    const since = last?.fingerprint === fingerprint ? last.since : now
    this.#changing.set(name, { fingerprint, since })
    return now - since >= settleMs
  }

  async #settle(name: string, fingerprint: string): Promise<void> {
    const { store, sink } = this.#options
    this.#changing.delete(name)
    if (fingerprint === absent) {
      this.#settled.delete(name)
      sink.remove(name)
      return
    }
    this.#settled.set(name, fingerprint)
    const directory = await store.fetch(name).catch((error: unknown) => {
      this.#options.warn(error, `fetching adapter '${name}' failed`)
      return null
    })
    // Nothing is known of it but that it could not be had: the next look tries again.
    if (directory === null) return void this.#settled.set(name, unread)
    const read = await sink.read(directory).then(
      (adapter) => ({ adapter }),
      (error: unknown) => ({ error }),
    )
    if ('adapter' in read) await sink.take(name, read.adapter)
    else await this.#refuse(name, fingerprint, read.error)
  }

  /** What changed while it was being read is not judged: it was still being copied. */
  async #refuse(name: string, fingerprint: string, error: unknown): Promise<void> {
    const { store, sink } = this.#options
    if ((await store.stateOf(name)) === fingerprint) return sink.refuse(name, error)
    this.#settled.set(name, unread)
    this.#lookSoon()
  }
}

/** No adapter looks like these. */
const absent = 'absent'
const unread = 'unread'
