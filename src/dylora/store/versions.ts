/** Versions of an adapter: `e2e@0a1b2c3d4e5f` is the adapter `e2e` whose digest begins like that. */
import { errors } from '../../errors.ts'
import type { StoreOptions } from './adapter-store.ts'

/** Digits of a digest in the name of a version: enough that no two of an adapter are alike. */
const writtenDigits = 12

/** `e2e@0a1b2c3d4e5f` */
export const versionName = (name: string, digest: string): string =>
  `${name}@${digest.replace(/^sha256:/, '').slice(0, writtenDigits)}`

export interface VersionOf {
  readonly name: string
  /** First hexadecimal digits of the digest, 8 to 64. */
  readonly digits: string
}

/** What `name@digest` asks for, with or without `sha256:`; null for a name without a version. */
export function parseVersion(text: string): VersionOf | null {
  const { name, digits } = /^(?<name>.+)@(?:sha256:)?(?<digits>[0-9a-f]{8,64})$/.exec(text)?.groups ?? {}
  return name === undefined || digits === undefined ? null : { name, digits }
}

export const isVersion = (digest: string, { digits }: VersionOf): boolean => digest.startsWith(`sha256:${digits}`)

/** The name without a version. */
export const plainName = (text: string): string => parseVersion(text)?.name ?? text

/** Throws `adapter_invalid` for a directory whose name says that it holds another version. */
export function checkVersion(name: string, digest: string): void {
  const version = parseVersion(name)
  if (version !== null && !isVersion(digest, version)) {
    throw errors.adapterInvalid(name, `its name says version ${version.digits}, and its digest is ${digest}`)
  }
}

/** A version in a store, and when it came there. */
export interface AgedVersion {
  readonly name: string
  readonly changedAt: number
}

/** Which versions of an adapter to remove: all but the youngest, and but what is pinned. */
export function superfluous(versions: readonly AgedVersion[], { keptVersions, pinned }: StoreOptions): string[] {
  const old = versions.toSorted((a, b) => b.changedAt - a.changedAt).slice(keptVersions)
  return old.map(({ name }) => name).filter((name) => !pinned.some((pin) => isSameVersion(name, pin)))
}

/** Does one name the other, with more digits or fewer? */
function isSameVersion(one: string, other: string): boolean {
  const [a, b] = [parseVersion(one), parseVersion(other)]
  return a !== null && a.name === b?.name && (a.digits.startsWith(b.digits) || b.digits.startsWith(a.digits))
}
