/** Files and directories that appear whole or not at all: written beside their place, flushed, then renamed into it. */
import { randomBytes } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'

/** Leftovers of a writer that cannot be asked whether it still runs (another machine) are removed after this long. */
const abandonedAfterMs = 3_600_000

/** Directories being written by this process: not leftovers, though its id is in their names. */
const inProgress = new Set<string>()

/**
 * Writes a file atomically: readers see the old content or the new. `write` gets an open handle. What killed writers of
 * the same file left behind is cleaned up first.
 */
export async function publishFile(path: string, write: (handle: FileHandle) => Promise<void>): Promise<void> {
  await removeLeftovers(resolve(path))
  const temporary = siblingOf(resolve(path), 'writing')
  inProgress.add(temporary)
  try {
    const handle = await open(temporary, 'wx')
    try {
      await write(handle)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, path)
    await syncDirectory(dirname(resolve(path)))
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  } finally {
    inProgress.delete(temporary)
  }
}

/**
 * Publishes a directory: `fill` writes its files into a sibling whose name starts with a dot (readers skip those), the
 * files are flushed, and the sibling takes the place of `path`; a directory that was there is moved aside and removed.
 * What killed writers of the same directory left behind is cleaned up first.
 */
export async function publishDirectory(path: string, fill: (temporary: string) => Promise<void>): Promise<void> {
  const target = resolve(path)
  await mkdir(dirname(target), { recursive: true })
  await removeLeftovers(target)
  const temporary = siblingOf(target, 'writing')
  inProgress.add(temporary)
  try {
    await mkdir(temporary)
    await fill(temporary)
    await syncTree(temporary)
    await swap(temporary, target)
  } finally {
    await rm(temporary, { recursive: true, force: true })
    inProgress.delete(temporary)
  }
}

/** Two renames: between them the place is empty for some microseconds, which `removeLeftovers` repairs after a crash. */
async function swap(temporary: string, target: string): Promise<void> {
  const aside = siblingOf(target, 'replaced')
  inProgress.add(aside)
  try {
    const replaced = await exists(target)
    if (replaced) await rename(target, aside)
    await rename(temporary, target)
    await syncDirectory(dirname(target))
    if (replaced) await rm(aside, { recursive: true, force: true })
  } finally {
    inProgress.delete(aside)
  }
}

type Purpose = 'writing' | 'replaced'

/** `.name.writing-<host>-<pid>-<random>` */
function siblingOf(path: string, purpose: Purpose): string {
  const owner = `${hostname()}-${process.pid}`
  return join(dirname(path), `.${basename(path)}.${purpose}-${owner}-${randomBytes(4).toString('hex')}`)
}

async function removeLeftovers(target: string): Promise<void> {
  const parent = dirname(target)
  for (const name of await readdir(parent)) {
    const leftover = parseSibling(name, basename(target))
    if (!leftover || !(await isAbandoned(join(parent, name), leftover))) continue
    if (leftover.purpose === 'replaced' && !(await exists(target))) await rename(join(parent, name), target)
    else await rm(join(parent, name), { recursive: true, force: true })
  }
}

interface Leftover {
  readonly purpose: Purpose
  readonly host: string
  readonly pid: number
}

function parseSibling(name: string, target: string): Leftover | null {
  if (!name.startsWith(`.${target}.`)) return null
  const match = /^(writing|replaced)-(.+)-(\d+)-[0-9a-f]{8}$/.exec(name.slice(target.length + 2))
  return match && { purpose: match[1] as Purpose, host: match[2] ?? '', pid: Number(match[3]) }
}

async function isAbandoned(path: string, { host, pid }: Leftover): Promise<boolean> {
  if (inProgress.has(path)) return false
  if (host === hostname() && (pid === process.pid || !isRunning(pid))) return true
  const { mtimeMs } = await stat(path)
  return Date.now() - mtimeMs > abandonedAfterMs
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return hasErrno(error, 'EPERM')
  }
}

/** Why what is in this place may not be replaced by a directory with the file `marker`; null when it may. */
export async function replacementObstacle(path: string, marker: string): Promise<string | null> {
  const names = await namesIn(path)
  if (names === null) return 'there is a file in this place'
  if (names.length === 0 || names.includes(marker)) return null
  return 'there is something else in this place, which is not replaced'
}

/** None where nothing is; null where something is that is no directory. */
async function namesIn(path: string): Promise<string[] | null> {
  try {
    return await readdir(path)
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return []
    if (hasErrno(error, 'ENOTDIR')) return null
    throw error
  }
}

export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return false
    throw error
  }
}

function hasErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

async function syncTree(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    await (entry.isDirectory() ? syncTree(path) : sync(path))
  }
  await syncDirectory(directory)
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r+')
  await handle.sync().finally(() => handle.close())
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  await handle.sync().finally(() => handle.close())
}
