/** Adapters that are loaded and unloaded by request: only from inside one directory, whatever the path says. */
import { realpath } from 'node:fs/promises'
import { isAbsolute, relative, resolve, sep } from 'node:path'
import { readAdapter } from '../dylora/adapter-directory.ts'
import { errors } from '../errors.ts'
import type { AdapterRegistry } from '../inference/adapter-registry.ts'

export interface RuntimeAdapters {
  /** Throws `validation` for a name that is taken and a path outside, `adapter_invalid` for what is no adapter. */
  load(name: string, path: string, options: { readonly inPlace: boolean }): Promise<void>
  /** Throws `adapter_not_found`. Requests under way finish on it. */
  unload(name: string): void
}

type Registry = Pick<AdapterRegistry, 'get' | 'list' | 'add' | 'remove'>

/** What is unloaded comes back when its directory changes, or with the next start. */
export function runtimeAdapters(registry: Registry, root: string): RuntimeAdapters {
  return {
    async load(name, path, { inPlace }) {
      if (!inPlace && registry.get(name)?.adapter) {
        throw errors.validation(`The adapter '${name}' is already loaded: unload it first, or set load_inplace`, {
          pointer: '/lora_name',
        })
      }
      const directory = await insideOf(root, path)
      const adapter = await readAdapter(directory).catch((error: unknown) => {
        throw hiding(error, directory, path)
      })
      await registry.add({ ...adapter, name })
    },
    unload(name) {
      const loaded = registry.list().flatMap((entry) => (entry.adapter === null ? [] : [entry.name]))
      if (!loaded.includes(name)) throw errors.adapterNotFound(name, loaded)
      registry.remove(name)
    },
  }
}

/** The real directory; what lies outside and what is not there are refused alike, so that nobody learns which it is. */
async function insideOf(root: string, path: string): Promise<string> {
  const refusal = errors.validation('lora_path: expected a directory inside the adapter directory', {
    pointer: '/lora_path',
  })
  const asked = resolve(root, path)
  // Before the file system is asked anything of a path outside.
  const hidden = relative(resolve(root), asked)
    .split(sep)
    .some((part) => part.startsWith('.'))
  if (path.includes('\0') || hidden || !isInside(resolve(root), asked)) throw refusal
  const [realRoot, real] = await Promise.all([realpath(root), realpath(asked)]).catch(() => {
    throw refusal
  })
  if (real === undefined || realRoot === undefined || !isInside(realRoot, real)) throw refusal
  return real
}

function isInside(from: string, to: string): boolean {
  const way = relative(from, to)
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way)
}

/** The same failure without the place where the directory is. */
function hiding(error: unknown, directory: string, path: string): unknown {
  if (!(error instanceof Error) || !('code' in error) || error.code !== 'adapter_invalid') return error
  return errors.adapterInvalid(
    path,
    error.message.replace(/^Adapter '.*?' is not usable: /, '').replaceAll(directory, path),
  )
}
