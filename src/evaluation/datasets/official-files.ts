/** Finds the official files of a data set in a directory: plain, gzipped, or inside their archive. */
import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { openPromise } from 'yauzl'
import { errors } from '../../errors.ts'
import type { Split, Variant } from './catalogue.ts'
import { type TextFile, textFileOf } from './text-file.ts'

/** More than the largest member that is read here, so that a broken archive cannot fill the memory. */
const maxMemberBytes = 256 * 1024 * 1024

/** A file that was found: its text, and the checksum of what lies on disk. */
interface Found extends TextFile {
  readonly sha256: string
}

export interface OfficialSplits {
  readonly variant: Variant
  readonly splits: Readonly<Partial<Record<Split, Found>>>
  readonly heldOutIds: Found | null
}

/**
 * The files of the variant that has most splits in the directory, or in one of its folders. Throws `dataset_invalid`
 * naming what was looked for where nothing is there.
 */
export async function findOfficialFiles(
  directory: string,
  folders: readonly string[],
  variants: readonly Variant[],
): Promise<OfficialSplits> {
  const places = folders.map((folder) => join(directory, folder))
  const all: OfficialSplits[] = []
  for (const variant of variants) for (const place of places) all.push(await findIn(place, variant))
  const [best] = all.sort((a, b) => Object.keys(b.splits).length - Object.keys(a.splits).length)
  if (best !== undefined && Object.keys(best.splits).length > 0) return best
  const wanted = variants.map(({ splits }) => Object.values(splits).flat().join(', ')).join('; or ')
  throw errors.datasetInvalid(directory, `expected the official files (${wanted}; gzipped or not), found none`)
}

async function findIn(place: string, variant: Variant): Promise<OfficialSplits> {
  const splits: Partial<Record<Split, Found>> = {}
  for (const [split, names] of Object.entries(variant.splits)) {
    const found = await findFirst(place, names)
    if (found !== null) splits[split as Split] = found
  }
  return { variant, splits, heldOutIds: await findFirst(place, variant.heldOutIds ?? []) }
}

async function findFirst(place: string, names: readonly string[]): Promise<Found | null> {
  for (const name of names) {
    const [path = '', member] = name.split('!')
    for (const candidate of [join(place, path), join(place, `${path}.gz`)]) {
      if (!((await stat(candidate).catch(() => null))?.isFile() ?? false)) continue
      const bytes = await readFile(candidate)
      const sha256 = createHash('sha256').update(bytes).digest('hex')
      if (member === undefined) return { ...textFileOf(candidate, bytes), sha256 }
      return { ...textFileOf(`${candidate}/${member}`, await readMember(candidate, member)), sha256 }
    }
  }
  return null
}

async function readMember(archive: string, member: string): Promise<Buffer> {
  const zip = await openPromise(archive, { lazyEntries: true, autoClose: false }).catch((error: unknown) => {
    throw errors.datasetInvalid(archive, `expected a zip archive: ${error instanceof Error ? error.message : error}`)
  })
  try {
    for await (const entry of zip.eachEntry()) {
      if (entry.fileName !== member) continue
      if (entry.uncompressedSize > maxMemberBytes) {
        throw errors.datasetInvalid(archive, `expected ${member} of up to ${maxMemberBytes} bytes`)
      }
      return await buffer(await zip.openReadStreamPromise(entry))
    }
  } finally {
    zip.close()
  }
  throw errors.datasetInvalid(archive, `expected a member ${member}, found none`)
}
