/** Base models and adapters that are named by their id on the Hugging Face hub. */
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../config.ts'
import { adapterFiles, readAdapter } from '../dylora/adapter-directory.ts'
import { type BaseModel, readBaseModel } from '../dylora/base-model.ts'
import { fetchSnapshot, type HubOptions } from '../dylora/hub/hub.ts'
import { adapterFilesOf, baseFiles, type FileChoice } from '../dylora/hub/hub-files.ts'
import { type HubId, parseHubId } from '../dylora/hub/hub-id.ts'
import { importCheckpoint } from '../dylora/import.ts'
import { importLora } from '../dylora/lora-import.ts'
import { exists, publishDirectory } from '../dylora/publish.ts'
import type { AdapterStore } from '../dylora/store/adapter-store.ts'

type Settings = Pick<Config, 'CACHE_DIR' | 'HF_ENDPOINT' | 'HF_TOKEN'>

const hubOptions = (settings: Settings, tell: (line: string) => void): HubOptions => ({
  cacheDirectory: join(settings.CACHE_DIR, 'hub'),
  endpoint: settings.HF_ENDPOINT,
  token: settings.HF_TOKEN,
  tell,
})

/** What is on this machine goes before the hub. */
async function hubIdOf(source: string): Promise<HubId | null> {
  return (await exists(source)) ? null : parseHubId(source)
}

const choices = { base: baseFiles, adapter: adapterFilesOf } satisfies Record<string, FileChoice>

/** A path is itself; a hub id is where its files are, once they are here. */
export async function sourceDirectory(
  source: string,
  kind: keyof typeof choices,
  settings: Settings,
  tell: (line: string) => void,
): Promise<string> {
  const id = await hubIdOf(source)
  if (id === null) return source
  return (await fetchSnapshot(id, choices[kind], hubOptions(settings, tell))).directory
}

/** The settings with a base model that is on this machine: one of the hub is imported once for each commit. */
export async function withBaseHere<T extends Settings & Pick<Config, 'BASE_MODEL'>>(
  settings: T,
  tell: (line: string) => void,
): Promise<T> {
  const id = settings.BASE_MODEL === undefined ? null : await hubIdOf(settings.BASE_MODEL)
  if (id === null) return settings
  const { directory, commit } = await fetchSnapshot(id, baseFiles, hubOptions(settings, tell))
  const name = `${id.repository.replace('/', '--')}-${commit.slice(0, 12)}`
  const place = join(settings.CACHE_DIR, 'bases', name)
  if ((await readBaseModel(place).catch(() => null)) === null) {
    const { notes } = await importCheckpoint(directory, place)
    for (const note of notes) tell(`${id.repository}: ${note}`)
  }
  return { ...settings, BASE_MODEL: place }
}

/**
 * Publishes in the store what the settings name of the hub, unless it is what the store has under the name already. One
 * that cannot be had is told of and keeps nothing else back; what the store has of it remains.
 */
export async function publishHubAdapters(
  settings: Settings & Pick<Config, 'HUB_ADAPTERS'>,
  base: BaseModel,
  store: AdapterStore,
  log: { tell(line: string): void; refuse(error: unknown, adapter: string): void },
): Promise<void> {
  for (const [name, id] of settings.HUB_ADAPTERS ?? []) {
    try {
      await publishOne(name, id, settings, base, store, log.tell)
    } catch (error) {
      log.refuse(error, name)
    }
  }
}

async function publishOne(
  name: string,
  id: HubId,
  settings: Settings,
  base: BaseModel,
  store: AdapterStore,
  tell: (line: string) => void,
): Promise<void> {
  const { directory, commit } = await fetchSnapshot(id, adapterFilesOf, hubOptions(settings, tell))
  // The place ends in the adapter's name, which what is written there takes.
  const place = join(settings.CACHE_DIR, 'hub-adapters', `${id.repository.replace('/', '--')}-${commit}`, name)
  if (await exists(join(directory, adapterFiles.dylora))) await copyAdapter(directory, place)
  else if (!(await exists(place))) await importLora(directory, base, place)
  const { digest } = await readAdapter(place)
  const current = (await store.list()).has(name)
    ? await store
        .fetch(name)
        .then(readAdapter, () => null)
        .catch(() => null)
    : null
  if (current?.digest === digest) return
  await store.publish(name, place)
  tell(`${name}: published as it is on the hub at ${commit}`)
}

const copyAdapter = (from: string, to: string): Promise<void> =>
  publishDirectory(to, async (temporary) => {
    for (const file of Object.values(adapterFiles)) await cp(join(from, file), join(temporary, file))
  })
