/** Where jobs find base models: beside the one that serves. */
import { basename, dirname, resolve } from 'node:path'
import { bundled, type Config } from '../config.ts'
import type { Bases } from '../jobs/bases.ts'

export function jobBases({ BASE_MODEL }: Pick<Config, 'BASE_MODEL'>): Bases {
  if (BASE_MODEL === undefined) return { basesDirectory: bundled.bases, defaultBase: undefined }
  return { basesDirectory: dirname(resolve(BASE_MODEL)), defaultBase: basename(resolve(BASE_MODEL)) }
}
