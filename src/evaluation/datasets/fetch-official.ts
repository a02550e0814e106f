/** Fetches the official files of a data set, each held to its published checksum or to that of its first download. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { publishFile } from '../../dylora/publish.ts'
import type { OfficialFile } from './catalogue.ts'
import { type DownloadOptions, download } from './download.ts'

/** Downloads what is not there yet. `say` gets a line for each file, and one for each sum that could not be compared. */
export async function fetchOfficial(
  files: readonly OfficialFile[],
  directory: string,
  say: (line: string) => void,
  patience: Pick<DownloadOptions, 'attempts' | 'waitMs' | 'silenceMs'> = {},
): Promise<void> {
  const record = join(directory, 'checksums.json')
  for (const { name, url, sha256 } of files) {
    const recorded = await recordedSums(record)
    const known = sha256 ?? recorded[name] ?? null
    say(`${name}: ${url}`)
    const got = await download({ ...patience, url, path: join(directory, name), sha256: known })
    if (known !== null) continue
    await publishFile(record, (handle) =>
      handle.writeFile(`${JSON.stringify({ ...recorded, [name]: got }, null, 2)}\n`),
    )
    say(`${name}: no published checksum to compare with; SHA-256 ${got} is recorded in ${record}`)
  }
}

async function recordedSums(file: string): Promise<Readonly<Record<string, string>>> {
  const text = await readFile(file, 'utf8').catch(() => null)
  return text === null ? {} : (JSON.parse(text) as Record<string, string>)
}
