/** Where adapters are published and found: a directory, or a bucket. The store is the truth, and any number of servers follow it. */

export interface AdapterStore {
  /** As its user named it. */
  readonly place: string
  /** How often it is good to look whether something changed. */
  readonly lookEveryMs: number
  /** What tells a change of each adapter that is there, by name. */
  list(): Promise<ReadonlyMap<string, string>>
  /** What `list` would say of this one; null when it is not there. */
  stateOf(name: string): Promise<string | null>
  /** A directory on this machine with the adapter as it is now. */
  fetch(name: string): Promise<string>
  /**
   * The directory on this machine of what a request calls `path`, which may lie nowhere but in the store. Throws
   * `validation`, and tells nobody what there is elsewhere.
   */
  locate(path: string): Promise<string>
  /**
   * Puts the adapter in a directory there under this name, whole or not at all. What it takes the place of remains as
   * one of its versions.
   */
  publish(name: string, directory: string): Promise<void>
  /** Tells when something may have changed, as far as the store can, until `lost` or the returned function is called; null if it cannot. */
  watch(changed: () => void, lost: () => void): (() => void) | null
}

export interface StoreOptions {
  /** How many versions of an adapter that were replaced are kept. */
  readonly keptVersions: number
  /** Versions, as `name@digest`, that are kept however old they are. */
  readonly pinned: readonly string[]
}
