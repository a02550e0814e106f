/**
 * Which factors are in memory. Every adapter that serves is known whole but for its factors; these are loaded again when
 * a request needs them and have been out, and go, the least recently used first, where all take more than the budget.
 */
import type { Adapter } from '../dylora/adapter.ts'

/** What is known of an adapter whose factors may be out of memory. */
export interface AdapterCard extends Omit<Adapter, 'factors'> {
  /** Parameters of one rank, over all adapted layers. */
  readonly parametersPerRank: number
}

type Factors = Adapter['factors']

/** Reads the factors of just this version again; throws where it is gone. */
export type LoadFactors = () => Promise<Factors>

/** An adapter as requests hold it. */
export class Resident {
  readonly card: AdapterCard
  readonly digest: string
  readonly maxRank: number
  readonly loraAlpha: number
  readonly scaling: Adapter['scaling']
  readonly bytes: number
  readonly #load: LoadFactors | null
  #factors: Factors | null
  #loading: Promise<void> | null = null
  /** Requests that wait for it or run on it. */
  users = 0
  /** False once another version took its place, or it was removed. */
  serves = true

  /** Without `load` the factors stay. */
  constructor({ factors, ...card }: Adapter, load: LoadFactors | null) {
    const perRank = [...factors.values()].reduce((sum, one) => sum + one.inFeatures + one.outFeatures, 0)
    this.card = { ...card, parametersPerRank: perRank }
    this.digest = card.digest
    this.maxRank = card.maxRank
    this.loraAlpha = card.loraAlpha
    this.scaling = card.scaling
    this.bytes = perRank * card.maxRank * Float32Array.BYTES_PER_ELEMENT
    this.#load = load
    this.#factors = factors
  }

  get isLoaded(): boolean {
    return this.#factors !== null
  }

  get canLeave(): boolean {
    return this.#load !== null && this.users === 0 && this.isLoaded
  }

  /** Throws a TypeError where they are out of memory. */
  get factors(): Factors {
    if (this.#factors === null) throw new TypeError(`expected the factors of ${this.card.name} in memory`)
    return this.#factors
  }

  leave(): void {
    this.#factors = null
  }

  /** One load for all who wait. */
  load(): Promise<void> {
    this.#loading ??= this.#read().finally(() => {
      this.#loading = null
    })
    return this.#loading
  }

  async #read(): Promise<void> {
    this.#factors ??= (await this.#load?.()) ?? this.factors
  }
}

export interface ResidencyStats {
  /** Adapters whose factors are in memory, of all that serve. */
  readonly resident: number
  readonly bytes: number
  /** How often factors came back. */
  readonly loads: number
  /** How often factors went. */
  readonly evictions: number
}

export class Residency {
  /** The least recently used first. */
  readonly #loaded = new Set<Resident>()
  readonly #budgetBytes: number
  #bytes = 0
  #loads = 0
  #evictions = 0

  constructor(budgetBytes: number) {
    this.#budgetBytes = budgetBytes
  }

  get stats(): ResidencyStats {
    return { resident: this.#loaded.size, bytes: this.#bytes, loads: this.#loads, evictions: this.#evictions }
  }

  /** An adapter begins to serve. */
  add(resident: Resident): void {
    this.#touch(resident)
  }

  /** It serves no more; who runs on it keeps its factors to the end. */
  remove(resident: Resident): void {
    resident.serves = false
    this.#drop(resident)
  }

  /** From now on until `release` its factors do not leave. Gives when they are there; null where they are. */
  acquire(resident: Resident): Promise<void> | null {
    resident.users += 1
    if (!resident.isLoaded) return this.#fetch(resident)
    this.#touch(resident)
    return null
  }

  release(resident: Resident): void {
    resident.users -= 1
    this.#shrink()
  }

  async #fetch(resident: Resident): Promise<void> {
    await resident.load()
    // The first of those who waited for it tells the others' too.
    if (this.#loaded.has(resident)) return
    this.#loads += 1
    this.#touch(resident)
  }

  #touch(resident: Resident): void {
    if (!resident.serves) return
    this.#drop(resident)
    this.#loaded.add(resident)
    this.#bytes += resident.bytes
    this.#shrink()
  }

  #drop(resident: Resident): void {
    if (this.#loaded.delete(resident)) this.#bytes -= resident.bytes
  }

  #shrink(): void {
    for (const resident of this.#loaded) {
      if (this.#bytes <= this.#budgetBytes) return
      if (!resident.canLeave) continue
      resident.leave()
      this.#drop(resident)
      this.#evictions += 1
    }
  }
}
