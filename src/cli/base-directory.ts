/** Where the base model is: where it is said to be, else the only one that is bundled. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Adapter } from '../dylora/adapter.ts'
import { readBaseModel } from '../dylora/base-model.ts'
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

/**
 * Where the base of an adapter is: where it is said to be, else the bundled one whose digest the adapter names. An adapter
 * that names none takes the only one that is bundled.
 *
 * @throws adapter_invalid when none of those that are there is its base
 */
export async function baseOfAdapter(given: string | undefined, bases: string, adapter: Adapter): Promise<string> {
  const { baseDigest, baseModel, name } = adapter
  if (given !== undefined || baseDigest === '') return baseDirectory(given, bases)
  const entries = await readdir(bases).catch(() => [])
  for (const entry of entries.filter((one) => !one.startsWith('.')).sort()) {
    const directory = join(bases, entry)
    // What cannot be read is nobody's base.
    const base = await readBaseModel(directory).catch(() => null)
    if (base?.digest === baseDigest) return directory
  }
  throw errors.adapterInvalid(name, `its base ${baseModel} ${baseDigest} is not in ${bases}: --base tells where it is`)
}
