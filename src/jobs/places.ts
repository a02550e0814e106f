/** Where the files of a job are. Each attempt writes in a directory of its own, so that none can overwrite a later one's. */
import { copyFile, link, mkdir, readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { adapterFiles } from '../dylora/adapter-directory.ts'
import { exists } from '../dylora/publish.ts'
import { checkpointPath, checkpointStep } from '../training/checkpoint.ts'

/** What lies under such a name is still being received. */
export const uploadSuffix = '.upload'

export const jobPlaces = (jobsDirectory: string, id: string) => placesIn(join(jobsDirectory, id))

/** The same of a job that is still being received. */
export const uploadPlaces = (jobsDirectory: string, id: string) => placesIn(join(jobsDirectory, `${id}${uploadSuffix}`))

const placesIn = (directory: string) => ({
  directory,
  train: join(directory, 'train.jsonl'),
  validation: join(directory, 'validation.jsonl'),
  attempts: join(directory, 'attempts'),
})
export type JobPlaces = ReturnType<typeof placesIn>

interface Attempt {
  readonly queueId: string
  readonly attempt: number
}

/** Where an attempt puts its finished adapter, and beside it its checkpoints. */
export const adapterOf = ({ attempts }: JobPlaces, { queueId, attempt }: Attempt): string =>
  join(attempts, `${queueId}-${attempt}`, 'adapter')

const adaptersIn = async ({ attempts }: JobPlaces): Promise<string[]> =>
  (await readdir(attempts).catch(() => [])).map((name) => join(attempts, name, 'adapter'))

/** An adapter that an attempt finished before its worker died; null where there is none. */
export async function finishedAdapter(places: JobPlaces): Promise<string | null> {
  for (const adapter of await adaptersIn(places)) if (await exists(join(adapter, adapterFiles.dylora))) return adapter
  return null
}

/** Gives a new attempt the checkpoint of whichever got farthest; a later change of that one's does not reach it. */
export async function inheritCheckpoint(places: JobPlaces, adapter: string): Promise<void> {
  const own = checkpointPath(adapter)
  await mkdir(dirname(own), { recursive: true })
  let best = { path: '', step: (await checkpointStep(own)) ?? -1 }
  for (const other of await adaptersIn(places)) {
    const path = checkpointPath(other)
    const step = other === adapter ? null : await checkpointStep(path)
    if (step !== null && step > best.step) best = { path, step }
  }
  // Checkpoints are replaced, never written into, so that a second name keeps what it is now.
  if (best.path !== '') await link(best.path, own).catch(() => copyFile(best.path, own))
}
