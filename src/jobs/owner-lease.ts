/**
 * Who owns a directory that only one process may use. The owner writes a random id and a count that it raises again and
 * again; who finds one that stands still for the length of the lease takes its place. Neither process ids nor clocks have to
 * be shared: it holds between containers and machines too.
 */
import { randomUUID } from 'node:crypto'
import { open, readFile, rm } from 'node:fs/promises'
import { setTimeout as after } from 'node:timers/promises'

export interface LeaseTimes {
  /** Between two signs of life. */
  readonly renewMs: number
  /** Without one for so long, an owner is taken for dead. */
  readonly leaseMs: number
}

const defaultTimes: LeaseTimes = { renewMs: 1000, leaseMs: 6000 }

export class OwnerLease {
  readonly #path: string
  readonly #id = randomUUID()
  readonly #times: LeaseTimes
  #count = 0
  #renewedAt = 0
  #timer: NodeJS.Timeout | null = null
  #lost = false
  #busy: Promise<void> = Promise.resolve()

  private constructor(path: string, times: LeaseTimes) {
    this.#path = path
    this.#times = times
  }

  /** Null where another is alive. May take as long as the lease, where one has died. */
  static async take(path: string, times: LeaseTimes = defaultTimes): Promise<OwnerLease | null> {
    const lease = new OwnerLease(path, times)
    return (await lease.#acquire()) ? lease : null
  }

  async #acquire(): Promise<boolean> {
    if (!(await this.#create())) {
      if (!(await this.#isDead())) return false
      await this.#write()
      // Two who found it dead: the one who wrote last has it, and the other sees that now.
      await after(2 * this.#times.renewMs)
      if (!(await this.#isMine())) return false
    }
    this.#renewedAt = performance.now()
    this.#timer = setInterval(() => void this.#renew(), this.#times.renewMs)
    this.#timer.unref()
    return true
  }

  async #create(): Promise<boolean> {
    try {
      const handle = await open(this.#path, 'wx')
      await handle.writeFile(this.#content()).finally(() => handle.close())
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
      throw error
    }
  }

  /** One whole lease without a change. */
  async #isDead(): Promise<boolean> {
    const first = await this.#read()
    for (let waited = 0; waited < this.#times.leaseMs; waited += this.#times.renewMs / 2) {
      await after(this.#times.renewMs / 2)
      if ((await this.#read()) !== first) return false
    }
    return true
  }

  readonly #read = (): Promise<string> => readFile(this.#path, 'utf8').catch(() => '')
  readonly #content = (): string => `${this.#id} ${String(this.#count).padStart(12, '0')}\n`
  readonly #isMine = async (): Promise<boolean> => (await this.#read()).startsWith(this.#id)

  /** Over what is there, which is as long: a full disk must not end a lease. */
  async #write(): Promise<void> {
    this.#count += 1
    const handle = await open(this.#path, 'r+')
    await handle.write(this.#content(), 0).finally(() => handle.close())
  }

  #renew(): Promise<void> {
    this.#busy = this.#busy.then(async () => {
      if (this.#lost) return
      if (!(await this.#isMine())) {
        this.#lost = true
        return
      }
      await this.#write()
      this.#renewedAt = performance.now()
    })
    // What cannot be written now is tried again; a lease that is not renewed for long allows nothing meanwhile.
    this.#busy = this.#busy.catch(() => {})
    return this.#busy
  }

  /**
   * Is it still ours? Asked before every use, since a process that was stopped for a while does not know that it was.
   * `unsure`: the file could not be reached for a while.
   */
  async state(): Promise<'held' | 'unsure' | 'lost'> {
    const isFresh = () => performance.now() - this.#renewedAt < this.#times.leaseMs / 2
    if (!this.#lost && !isFresh()) await this.#renew()
    if (this.#lost) return 'lost'
    return isFresh() ? 'held' : 'unsure'
  }

  async release(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer)
    await this.#busy
    if (await this.#isMine()) await rm(this.#path, { force: true })
    this.#lost = true
  }
}
