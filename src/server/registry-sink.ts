/** Adapter directories on their way into the engine's registry. */
import { isDeepStrictEqual } from 'node:util'
import type { FastifyBaseLogger } from 'fastify'
import type { Adapter } from '../dylora/adapter.ts'
import { readAdapter } from '../dylora/adapter-directory.ts'
import { DyloraError } from '../errors.ts'
import type { AdapterRegistry } from '../inference/adapter-registry.ts'
import type { AdapterSink } from './adapter-watcher.ts'

export type AdapterLog = Pick<FastifyBaseLogger, 'info' | 'warn' | 'error'>

export function registrySink(registry: AdapterRegistry, log: AdapterLog): AdapterSink<Adapter> {
  const tellRefusal = (name: string, error: unknown): void => {
    if (error instanceof DyloraError) log.warn({ adapter: name, reason: error.message }, 'adapter refused')
    else log.error({ adapter: name, err: error }, 'adapter refused')
  }
  return {
    read: readAdapter,
    async take(name, adapter) {
      if (registry.get(name)?.reason === null && isSame(registry.added(name), adapter)) return
      try {
        await registry.add(adapter)
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

/** Down to its curve and policy. A good version that came back under a bad one clears the refusal first. */
const isSame = (added: Adapter | undefined, { digest, quality, policy }: Adapter): boolean =>
  added?.digest === digest && isDeepStrictEqual([added.quality, added.policy], [quality, policy])
