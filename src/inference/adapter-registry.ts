/** The adapters that there are: which serve, which were refused and why. */
import type { EventEmitter } from 'node:events'
import type { Adapter, RankPolicy } from '../dylora/adapter.ts'
import { isVersion, parseVersion, plainName } from '../dylora/store/versions.ts'
import { DyloraError, errors } from '../errors.ts'
import type { EngineEvents } from './engine-events.ts'
import { allowedRanks, autoChoice, policyFault, type RankDecision } from './rank-choice.ts'
import { type AdapterCard, type LoadFactors, type Residency, Resident } from './residency.ts'

export interface RegistryEntry {
  readonly name: string
  /** A refused one has never served, or serves its last good version, which `adapter` then is. */
  readonly state: 'serving' | 'refused'
  /** Why the latest version was refused. */
  readonly reason: string | null
  readonly adapter: AdapterCard | null
  /** Are its factors in memory? */
  readonly isLoaded: boolean
  readonly autoChoice: RankDecision | null
  readonly policy: RankPolicy
  /** The version that its name stands for, as `name@digest`; null where it is whatever was published last. */
  readonly pinnedTo: string | null
}

export interface AdapterRegistryOptions {
  /** As an adapter's name, it asks for the base model without an adapter and its prompt. */
  readonly baseName: string
  /** The default adapter when it serves; otherwise the only one is. */
  readonly preferred: string | null
  /** By adapter name; each field comes before the adapter's own. */
  readonly policies?: Readonly<Record<string, RankPolicy>> | undefined
  /** Adapters that are one version, whichever was published last: `name@digest` by name. */
  readonly pins?: ReadonlyMap<string, string> | undefined
  /** Throws unless the adapter fits the base and gives finite logits at every rank. */
  readonly check: (adapter: Adapter) => Promise<void>
  /** Keeps the factors of those that serve. */
  readonly residency: Residency
  readonly events: Pick<EventEmitter<EngineEvents>, 'emit'>
}

export class AdapterRegistry {
  readonly #options: AdapterRegistryOptions
  readonly #adapters = new Map<string, Resident>()
  readonly #refusals = new Map<string, string>()

  constructor(options: AdapterRegistryOptions) {
    this.#options = options
  }

  /** Each adapter, and each version of it that is there beside it. */
  list(): RegistryEntry[] {
    const { pins = new Map<string, string>() } = this.#options
    const pinned = [...pins.keys()].filter((name) => this.find(name) !== undefined)
    const names = new Set([...this.#adapters.keys(), ...this.#refusals.keys(), ...pinned])
    return [...names].toSorted().flatMap((name) => this.get(name) ?? [])
  }

  /** By its name, or as `name@digest` with the first digits of the digest. */
  get(name: string): RegistryEntry | undefined {
    const { card: adapter = null, isLoaded = false } = this.find(name) ?? {}
    const reason = this.#refusals.get(name) ?? null
    if (adapter === null && reason === null) return undefined
    const state = adapter === null ? 'refused' : 'serving'
    const policy = this.policyOf(adapter)
    const pinnedTo = this.#options.pins?.get(name) ?? null
    return {
      ...{ name, state, reason, adapter, isLoaded, policy, pinnedTo },
      autoChoice: adapter && autoChoice(adapter, undefined, policy),
    }
  }

  /** What was added under exactly this name. */
  added(name: string): AdapterCard | undefined {
    return this.#adapters.get(name)?.card
  }

  /** By its name or as `name@digest`; undefined where no version serves. */
  find(name: string): Resident | undefined {
    const wanted = this.#options.pins?.get(name) ?? name
    const version = parseVersion(wanted)
    if (version === null) return this.#adapters.get(wanted)
    return (
      this.#adapters.get(wanted) ??
      [...this.#adapters.values()].find(
        ({ card, digest }) => plainName(card.name) === version.name && isVersion(digest, version),
      )
    )
  }

  /** What is said of its ranks, by the settings or in the adapter; versions of an adapter are treated alike. */
  policyOf(adapter: Pick<Adapter, 'name' | 'policy'> | null): RankPolicy {
    if (adapter === null) return {}
    const { policies = {} } = this.#options
    return { ...adapter.policy, ...(policies[adapter.name] ?? policies[plainName(adapter.name)]) }
  }

  get defaultAdapter(): string | null {
    const { preferred } = this.#options
    if (preferred !== null && this.find(preferred) !== undefined) return preferred
    const [only, another] = new Set([...this.#adapters.keys()].map(plainName))
    return only !== undefined && another === undefined && this.find(only) !== undefined ? only : null
  }

  /** The adapter for a request: by name, null (or the base's name) for the bare base, undefined for the default. */
  resolve(adapterId: string | null | undefined): Resident | null {
    const name = adapterId === undefined ? this.defaultAdapter : adapterId
    if (name === null) return null
    const adapter = this.find(name)
    if (adapter === undefined && name === this.#options.baseName) return null
    if (adapter === undefined)
      throw errors.adapterNotFound(name, [...this.#adapters.keys(), this.#options.baseName].toSorted())
    return adapter
  }

  /** What `rank` may be for this adapter. */
  allowedRanks(adapterId: string | null | undefined): readonly (number | string)[] {
    const adapter = this.resolve(adapterId)?.card ?? null
    return allowedRanks(adapter, this.policyOf(adapter))
  }

  /**
   * Checks the adapter, then gives this version to requests from now on; those under way finish on theirs. With `load`
   * its factors may leave the memory and come back.
   * One that fails the check is refused, which leaves an earlier version in service, and its error thrown.
   */
  async add(adapter: Adapter, load: LoadFactors | null = null): Promise<void> {
    const started = performance.now()
    try {
      if (adapter.name === this.#options.baseName) {
        throw errors.adapterInvalid(adapter.name, 'its name is that of the base model, which asks for no adapter')
      }
      const fault = policyFault(adapter, this.policyOf(adapter))
      if (fault !== null) throw errors.adapterInvalid(adapter.name, fault)
      // The same factors were checked before; quality and training record may still be new.
      if (this.#adapters.get(adapter.name)?.digest !== adapter.digest) await this.#options.check(adapter)
    } catch (error) {
      this.refuse(adapter.name, error)
      throw error
    }
    this.#leave(adapter.name)
    const resident = new Resident(adapter, load)
    this.#adapters.set(adapter.name, resident)
    this.#refusals.delete(adapter.name)
    this.#options.residency.add(resident)
    this.#options.events.emit('adapterLoaded', { adapter: resident.card, durationMs: performance.now() - started })
  }

  /** Remembers why; an earlier version goes on serving. */
  refuse(name: string, error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error)
    const code = error instanceof DyloraError ? error.code : 'adapter_invalid'
    this.#refusals.set(name, reason)
    this.#options.events.emit('adapterRefused', { name, reason, code })
  }

  remove(name: string): void {
    const known = [this.#refusals.delete(name), this.#leave(name)]
    if (known.includes(true)) this.#options.events.emit('adapterRemoved', { name })
  }

  #leave(name: string): boolean {
    const resident = this.#adapters.get(name)
    if (resident !== undefined) this.#options.residency.remove(resident)
    return this.#adapters.delete(name)
  }
}
