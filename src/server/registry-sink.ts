/** Adapter directories on their way into the engine's registry. */
import { isDeepStrictEqual } from 'node:util'
import type { FastifyBaseLogger } from 'fastify'
import type { Adapter } from '../dylora/adapter.ts'
import { readAdapter } from '../dylora/adapter-directory.ts'
import type { AdapterStore } from '../dylora/store/adapter-store.ts'
import { versionName } from '../dylora/store/versions.ts'
import { DyloraError, errors } from '../errors.ts'
import type { AdapterRegistry } from '../inference/adapter-registry.ts'
import type { LoadFactors } from '../inference/residency.ts'
import type { AdapterSink } from './adapter-watcher.ts'

export type AdapterLog = Pick<FastifyBaseLogger, 'info' | 'warn' | 'error'>

export function registrySink(
  registry: AdapterRegistry,
  store: Pick<AdapterStore, 'fetch'>,
  log: AdapterLog,
): AdapterSink<Adapter> {
  const tellRefusal = (name: string, error: unknown): void => {
    if (error instanceof DyloraError) log.warn({ adapter: name, reason: error.message }, 'adapter refused')
    else log.error({ adapter: name, err: error }, 'adapter refused')
  }
  return {
    read: readAdapter,
    async take(name, adapter) {
      if (registry.get(name)?.reason === null && isSame(registry.added(name), adapter)) return
      try {
        await registry.add(
          adapter,
          factorsAgain(adapter, [() => store.fetch(name), () => store.fetch(versionName(name, adapter.digest))], log),
        )
        log.info({ adapter: name, digest: adapter.digest, ranks: adapter.ranks.length }, 'adapter serves')
      } catch (error) {
        tellRefusal(name, error)
      }
    },
    refuse(name, error) {
      registry.refuse(name, error)
      tellRefusal(name, error)
    },
    remove(name) {
      registry.remove(name)
      log.info({ adapter: name }, 'adapter removed')
    },
  }
}

/**
 * Reads the factors of this version again, from the first of these directories that holds it; throws `not_ready` where
 * none does by now.
 */
export const factorsAgain =
  ({ name, digest }: Adapter, places: readonly (() => Promise<string>)[], log: AdapterLog): LoadFactors =>
  async () => {
    for (const locate of places) {
      const again = await locate()
        .then(readAdapter)
        .catch((error: unknown) => log.warn({ adapter: name, err: error }, 'factors cannot be read again'))
      if (again?.digest === digest) return again.factors
    }
    throw errors.notReady(`The factors of adapter '${name}' cannot be read again`)
  }

/** Down to its curve and policy. A good version that came back under a bad one clears the refusal first. */
const isSame = (
  added: Pick<Adapter, 'digest' | 'quality' | 'policy'> | undefined,
  { digest, quality, policy }: Adapter,
): boolean => added?.digest === digest && isDeepStrictEqual([added.quality, added.policy], [quality, policy])
