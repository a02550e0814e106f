/** Adapters that are loaded and unloaded by request: only from inside the store, whatever the path says. */
import { readAdapter } from '../dylora/adapter-directory.ts'
import type { AdapterStore } from '../dylora/store/adapter-store.ts'
import { errors } from '../errors.ts'
import type { AdapterRegistry } from '../inference/adapter-registry.ts'
import { type AdapterLog, factorsAgain } from './registry-sink.ts'

export interface RuntimeAdapters {
  /** Throws `validation` for a name that is taken and a path outside, `adapter_invalid` for what is no adapter. */
  load(name: string, path: string, options: { readonly inPlace: boolean }): Promise<void>
  /** Throws `adapter_not_found`. Requests under way finish on it. */
  unload(name: string): void
}

type Registry = Pick<AdapterRegistry, 'get' | 'list' | 'add' | 'remove'>

/** What is unloaded comes back when it changes in the store, or with the next start. */
export function runtimeAdapters(
  registry: Registry,
  store: Pick<AdapterStore, 'locate'>,
  log: AdapterLog,
): RuntimeAdapters {
  return {
    async load(name, path, { inPlace }) {
      if (!inPlace && registry.get(name)?.adapter) {
        throw errors.validation(`The adapter '${name}' is already loaded: unload it first, or set load_inplace`, {
          pointer: '/lora_name',
        })
      }
      const directory = await store.locate(path)
      const adapter = await readAdapter(directory).catch((error: unknown) => {
        throw hiding(error, directory, path)
      })
      await registry.add({ ...adapter, name }, factorsAgain(adapter, [() => store.locate(path)], log))
    },
    unload(name) {
      const loaded = registry.list().flatMap((entry) => (entry.adapter === null ? [] : [entry.name]))
      if (!loaded.includes(name)) throw errors.adapterNotFound(name, loaded)
      registry.remove(name)
    },
  }
}

/** The same failure without the place where the directory is. */
function hiding(error: unknown, directory: string, path: string): unknown {
  if (!(error instanceof Error) || !('code' in error) || error.code !== 'adapter_invalid') return error
  return errors.adapterInvalid(
    path,
    error.message.replace(/^Adapter '.*?' is not usable: /, '').replaceAll(directory, path),
  )
}
