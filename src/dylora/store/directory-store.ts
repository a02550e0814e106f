/** A directory of adapter directories; those whose names begin with a dot are not adapters. */
import { type FSWatcher, watch } from 'node:fs'
import { cp, readdir, realpath, rm, stat } from 'node:fs/promises'
import { isAbsolute, join, relative, resolve, sep } from 'node:path'
import { errors } from '../../errors.ts'
import { readAdapter } from '../adapter-directory.ts'
import { publishDirectory } from '../publish.ts'
import type { AdapterStore, StoreOptions } from './adapter-store.ts'
import { parseVersion, superfluous, versionName } from './versions.ts'

export function directoryStore(root: string, options: StoreOptions): AdapterStore {
  return {
    place: root,
    lookEveryMs: 2000,
    list: () => fingerprints(root),
    async stateOf(name) {
      const state = await fingerprintOf(join(root, name))
      return state === absent ? null : state
    },
    fetch: async (name) => join(root, name),
    locate: (path) => insideOf(root, path),
    async publish(name, directory) {
      const { digest } = await readAdapter(directory)
      await keepVersion(root, name, digest)
      await publishDirectory(join(root, name), (temporary) => cp(directory, temporary, { recursive: true }))
      await removeOldVersions(root, name, options)
    },
    watch: (changed, lost) => watchRoot(root, changed, lost),
  }
}

/** What serves under the name is copied beside it before another takes its place; what cannot be read is not worth it. */
async function keepVersion(root: string, name: string, nextDigest: string): Promise<void> {
  const current = await readAdapter(join(root, name)).catch(() => null)
  if (current === null || current.digest === nextDigest) return
  const place = join(root, versionName(name, current.digest))
  await publishDirectory(place, (temporary) => cp(join(root, name), temporary, { recursive: true }))
}

async function removeOldVersions(root: string, name: string, options: StoreOptions): Promise<void> {
  const versions = (await readdir(root)).filter((entry) => parseVersion(entry)?.name === name)
  const aged = await Promise.all(
    versions.map(async (version) => ({ name: version, changedAt: (await stat(join(root, version))).mtimeMs })),
  )
  for (const version of superfluous(aged, options)) await rm(join(root, version), { recursive: true })
}

/** The root tells of directories that come and go; what changes inside one is found by looking. */
function watchRoot(root: string, changed: () => void, lost: () => void): (() => void) | null {
  let watcher: FSWatcher
  try {
    watcher = watch(root, changed)
  } catch {
    // It is not there yet, or this file system does not tell.
    return null
  }
  watcher.on('error', () => {
    watcher.close()
    lost()
  })
  return () => watcher.close()
}

/** The real directory; what lies outside and what is not there are refused alike, so that nobody learns which it is. */
async function insideOf(root: string, path: string): Promise<string> {
  const refusal = errors.validation('lora_path: expected a directory inside the adapter directory', {
    pointer: '/lora_path',
  })
  const asked = resolve(root, path)
  // Before the file system is asked anything of a path outside.
  const hidden = relative(resolve(root), asked)
    .split(sep)
    .some((part) => part.startsWith('.'))
  if (path.includes('\0') || hidden || !isInside(resolve(root), asked)) throw refusal
  const [realRoot, real] = await Promise.all([realpath(root), realpath(asked)]).catch(() => {
    throw refusal
  })
  if (real === undefined || realRoot === undefined || !isInside(realRoot, real)) throw refusal
  return real
}

function isInside(from: string, to: string): boolean {
  const way = relative(from, to)
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way)
}

/** No directory looks like this. */
const absent = 'absent'

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
