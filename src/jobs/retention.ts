/** Removes what ended jobs and broken uploads leave on disk. */
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { JobQueue, Retention } from './job-queue.ts'
import { jobPlaces, uploadSuffix } from './places.ts'

/** Ids of the jobs whose files went. One that cannot be removed now, for its worker still writes, goes the next time. */
export async function removeExpired(queue: JobQueue, jobsDirectory: string, retention: Retention): Promise<string[]> {
  const removed: string[] = []
  for (const id of await queue.expired(retention)) {
    try {
      await rm(jobPlaces(jobsDirectory, id).directory, { recursive: true, force: true })
    } catch {
      continue
    }
    await queue.forget(id)
    removed.push(id)
  }
  return removed
}

/** What was being received when a server ended, and has not changed for so long. */
export async function removeBrokenUploads(jobsDirectory: string, olderThanMs: number): Promise<void> {
  const names = (await readdir(jobsDirectory).catch(() => [])).filter((name) => name.endsWith(uploadSuffix))
  for (const name of names) {
    const path = join(jobsDirectory, name)
    if (Date.now() - (await newest(path)) >= olderThanMs) await rm(path, { recursive: true, force: true })
  }
}

/** Of the directory and its files: receiving one changes the file alone. */
async function newest(directory: string): Promise<number> {
  const names = await readdir(directory).catch(() => [])
  const times = await Promise.all(
    [directory, ...names.map((name) => join(directory, name))].map((path) => stat(path).then(({ mtimeMs }) => mtimeMs)),
  ).catch(() => [Date.now()])
  return Math.max(...times)
}
