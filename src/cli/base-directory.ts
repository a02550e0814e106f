/** Where the base model is: where it is said to be, else the only one that is bundled. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { errors } from '../errors.ts'

/** @throws configuration_invalid when there is none, or more than one to choose from */
export async function baseDirectory(given: string | undefined, bases: string): Promise<string> {
  if (given !== undefined) return given
  const entries = await readdir(bases, { withFileTypes: true }).catch(() => [])
  const names = entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith('.')).map(({ name }) => name)
  const [only, ...others] = names
  if (only !== undefined && others.length === 0) return join(bases, only)
  const found = names.length === 0 ? 'there is none' : `there are ${names.join(', ')}`
  throw errors.configurationInvalid([`BASE_MODEL: expected a directory, since in ${bases} ${found}`])
}
