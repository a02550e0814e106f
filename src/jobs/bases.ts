/** The base models that jobs may be trained on. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

export interface Bases {
  readonly basesDirectory: string
  /** The base of a job that names none; undefined is the only one that there is. */
  readonly defaultBase: string | undefined
}

export const baseNames = async (directory: string): Promise<string[]> =>
  (await readdir(directory).catch(() => [])).filter((name) => !name.startsWith('.')).sort()

/** The directory of the base of this name; null where there is none, or where it is not clear which is meant. */
export async function findBase(
  base: string | undefined,
  { basesDirectory, defaultBase }: Bases,
): Promise<string | null> {
  const names = await baseNames(basesDirectory)
  const [only, ...others] = names
  const name = base ?? defaultBase ?? (others.length === 0 ? only : undefined)
  return name !== undefined && names.includes(name) ? join(basesDirectory, name) : null
}
