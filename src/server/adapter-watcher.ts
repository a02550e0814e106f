/** Keeps the engine's adapters equal to a directory: found at start and when they appear, change or vanish. */
import { type FSWatcher, watch } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

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
  readonly directory: string
  readonly sink: AdapterSink<T>
  /** What goes wrong around the directory itself. */
  readonly warn: (error: unknown, message: string) => void
  /** A directory is read once it has not changed for so long: a plain copy takes its time. */
  readonly settleMs?: number
  /** Looks without being told: inside the directories, and on file systems that do not tell. */
  readonly rescanMs?: number
}

/** A directory as it was seen, and since when it looks like that. */
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
  #watcher: FSWatcher | null = null
  #timer: NodeJS.Timeout | null = null
  #rescan: NodeJS.Timeout | null = null
  #looking: Promise<void> = Promise.resolve()
  #closed = false

  constructor(options: AdapterWatcherOptions<T>) {
    this.#options = { settleMs: 300, rescanMs: 2000, ...options }
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
    this.#watcher?.close()
    await this.#looking
  }

  /** The root tells of directories that come and go; what changes inside one is found by looking. */
  #listen(): void {
    if (this.#watcher !== null) return
    try {
      this.#watcher = watch(this.#options.directory, () => this.#lookSoon())
      this.#watcher.on('error', () => this.#deafen())
    } catch {
      // It is not there yet, or this file system does not tell.
    }
  }

  #deafen(): void {
    this.#watcher?.close()
    this.#watcher = null
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
    const seen = await fingerprints(this.#options.directory)
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
    const { directory, sink } = this.#options
    this.#changing.delete(name)
    if (fingerprint === absent) {
      this.#settled.delete(name)
      sink.remove(name)
      return
    }
    this.#settled.set(name, fingerprint)
    const read = await sink.read(join(directory, name)).then(
      (adapter) => ({ adapter }),
      (error: unknown) => ({ error }),
    )
    if ('adapter' in read) await sink.take(name, read.adapter)
    else await this.#refuse(name, fingerprint, read.error)
  }

  /** What changed while it was being read is not judged: it was still being copied. */
  async #refuse(name: string, fingerprint: string, error: unknown): Promise<void> {
    const { directory, sink } = this.#options
    if ((await fingerprintOf(join(directory, name))) === fingerprint) return sink.refuse(name, error)
    this.#settled.set(name, unread)
    this.#lookSoon()
  }
}

/** No directory looks like these. */
const absent = 'absent'
const unread = 'unread'

/** Every adapter directory with what tells a change of it; a root that is not there holds none. */
async function fingerprints(root: string): Promise<Map<string, string>> {
  const names = (await readdir(root).catch(nothingThere)).filter((name) => !name.startsWith('.'))
  const found = await Promise.all(names.map(async (name) => [name, await fingerprintOf(join(root, name))] as const))
  return new Map(found.filter(([, fingerprint]) => fingerprint !== absent))
}

/** Inode, size and times of each file: a copy, an overwrite and a rename each change it. */
async function fingerprintOf(directory: string): Promise<string> {
  try {
    const files = await readdir(directory).catch(nothingThere)
    const facts = await Promise.all(files.sort().map((file) => factsOf(join(directory, file), file)))
    const present = facts.filter((fact) => fact !== null)
    return present.length > 0 ? present.join('\n') : absent
  } catch (error) {
    // One directory that may not be read keeps nobody else out; reading it will say why.
    return `unreadable: ${String(error)}`
  }
}

async function factsOf(path: string, name: string): Promise<string | null> {
  try {
    const { ino, size, mtimeMs, ctimeMs } = await stat(path)
    return `${name} ${ino} ${size} ${mtimeMs} ${ctimeMs}`
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return null
    throw error
  }
}

/** Gone, or never a directory. */
function nothingThere(error: unknown): string[] {
  if (hasErrno(error, 'ENOENT') || hasErrno(error, 'ENOTDIR')) return []
  throw error
}

const hasErrno = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code
