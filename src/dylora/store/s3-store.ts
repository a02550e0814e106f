/**
 * Adapters in a bucket, each under `<prefix>/<name>/`. One that was published is under the name of its version, and the file
 * `<name>/current` says which that is: a version is written once and never changes, and a name is given to it by one write.
 * Files that somebody put under `<name>/` themselves serve as well.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errors } from '../../errors.ts'
import { adapterFiles, readAdapter } from '../adapter-directory.ts'
import { publishDirectory } from '../publish.ts'
import type { AdapterStore, StoreOptions } from './adapter-store.ts'
import { Bucket, type BucketOptions, type FileFact, type Listing } from './bucket.ts'
import { parseVersion, superfluous, versionName } from './versions.ts'

export interface S3StoreOptions extends StoreOptions, BucketOptions {
  /** Where copies of what serves are kept on this machine. */
  readonly cacheDirectory: string
}

/** In the order in which they are written: the last one makes an adapter whole. */
const uploaded = [adapterFiles.factors, adapterFiles.peft, adapterFiles.dylora] as const
/** Without these there is no adapter; a plain LoRA has no more. */
const needed = [adapterFiles.factors, adapterFiles.peft] as const
const pointer = 'current'
/** In a copy: what it is a copy of. */
const origin = '.origin'

/** Where the files of an adapter are. */
interface Source {
  readonly directory: string
  readonly files: ReadonlyMap<string, FileFact>
  readonly state: string
}

export class S3Store implements AdapterStore {
  readonly place: string
  readonly lookEveryMs = 5000
  readonly #bucket: Bucket
  readonly #options: S3StoreOptions
  /** What pointers say, by name, and the etag that they had. */
  readonly #pointers = new Map<string, { readonly etag: string; readonly target: string }>()

  constructor(place: string, options: S3StoreOptions) {
    this.place = place
    this.#options = options
    this.#bucket = new Bucket(place, options)
  }

  async list(): Promise<ReadonlyMap<string, string>> {
    const listing = await this.#bucket.list()
    const sources = new Map<string, Source>()
    for (const name of listing.keys()) {
      const source = await this.#sourceIn(listing, name)
      if (source !== null) sources.set(name, source)
    }
    // A version that serves under the plain name is not held twice.
    const plain = [...sources]
      .filter(([name, { directory }]) => directory !== name)
      .map(([, source]) => source.directory)
    for (const directory of plain) sources.delete(directory)
    return new Map([...sources].map(([name, { state }]) => [name, state]))
  }

  async stateOf(name: string): Promise<string | null> {
    return (await this.#sourceOf(name))?.state ?? null
  }

  async fetch(name: string): Promise<string> {
    const source = await this.#sourceOf(name)
    if (source === null) throw new Error(`there is no ${name} in ${this.place}`)
    const { cacheDirectory } = this.#options
    const copy = join(cacheDirectory, name)
    if ((await readFile(join(copy, origin), 'utf8').catch(() => null)) === source.state) return copy
    await publishDirectory(copy, async (temporary) => {
      for (const file of uploaded) {
        const fact = source.files.get(file)
        if (fact) await this.#bucket.download(`${source.directory}/${file}`, fact, join(temporary, file))
      }
      await writeFile(join(temporary, origin), source.state)
    })
    return copy
  }

  async locate(path: string): Promise<string> {
    const isName = /^[^/\\.][^/\\]*$/.test(path) && !path.includes('\0')
    if (isName && (await this.stateOf(path)) !== null) return this.fetch(path)
    throw errors.validation('lora_path: expected the name of an adapter in the bucket', { pointer: '/lora_path' })
  }

  async publish(name: string, directory: string): Promise<void> {
    const version = versionName(name, (await readAdapter(directory)).digest)
    for (const file of uploaded) await this.#bucket.upload(`${version}/${file}`, join(directory, file))
    await this.#bucket.writeText(`${name}/${pointer}`, version)
    await this.#removeOldVersions(name, version)
  }

  watch(): null {
    return null
  }

  async #removeOldVersions(name: string, current: string): Promise<void> {
    const listing = await this.#bucket.list()
    const versions = [...listing.keys()].filter((entry) => parseVersion(entry)?.name === name && entry !== current)
    const aged = versions.map((version) => ({ name: version, changedAt: youngest(listing, version) }))
    for (const version of superfluous(aged, this.#options)) {
      await this.#bucket.remove([...(listing.get(version)?.keys() ?? [])].map((file) => `${version}/${file}`))
    }
  }

  async #sourceOf(name: string): Promise<Source | null> {
    const listing = await this.#bucket.list(name)
    const target = await this.#targetIn(listing, name)
    if (target === null) return sourceAt(listing, name, '')
    return this.#sourceIn(new Map([...listing, ...(await this.#bucket.list(target))]), name)
  }

  async #sourceIn(listing: Listing, name: string): Promise<Source | null> {
    const target = await this.#targetIn(listing, name)
    if (target === null) return sourceAt(listing, name, '')
    return sourceAt(listing, target, `${listing.get(name)?.get(pointer)?.etag} `)
  }

  /** The version that the pointer names; null where there is none. */
  async #targetIn(listing: Listing, name: string): Promise<string | null> {
    const fact = listing.get(name)?.get(pointer)
    if (fact === undefined) return null
    const known = this.#pointers.get(name)
    const target = known?.etag === fact.etag ? known.target : (await this.#bucket.readText(`${name}/${pointer}`)).trim()
    this.#pointers.set(name, { etag: fact.etag, target })
    // What names no version of this adapter may not lead to another.
    return parseVersion(target)?.name === name ? target : null
  }
}

function sourceAt(listing: Listing, directory: string, mark: string): Source | null {
  const files = listing.get(directory)
  if (files === undefined || !needed.every((file) => files.has(file))) return null
  const etags = uploaded.flatMap((file) => files.get(file)?.etag ?? 'none')
  return { directory, files, state: `${mark}${directory} ${etags.join(' ')}` }
}

const youngest = (listing: Listing, directory: string): number =>
  Math.max(0, ...[...(listing.get(directory)?.values() ?? [])].map(({ changedAt }) => changedAt))
