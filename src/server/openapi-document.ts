/** The OpenAPI document of the service, from the routes themselves, without a model. */
import { EventEmitter } from 'node:events'
import { pino } from 'pino'
import type { EngineEvents } from '../inference/engine-events.ts'
import { buildApp } from './app.ts'
import type { ServiceInfo, Serving } from './serving.ts'

const nothing: ServiceInfo = {
  version: '',
  versions: {},
  baseModel: { name: '', digest: '', architecture: '', positions: 0, vocabulary: 0, quantization: '' },
  device: { kind: 'cpu', provider: '', reason: '' },
  limits: {},
}

/** Routes are described, never called. */
class Idle extends EventEmitter<EngineEvents> implements Serving {
  readonly stats = {
    running: 0,
    waiting: 0,
    background: 0,
    runs: 0,
    kvCacheUsage: 0,
    prefixCache: null,
    residency: { resident: 0, bytes: 0, loads: 0, evictions: 0 },
    grammarTexts: 0,
    runningAdapters: [],
    waitingAdapters: [],
  }
  readonly tokenizer = { encode: () => [], decode: () => '', tokenBytes: () => new Uint8Array(0) }
  readonly registry = { list: () => [], get: () => undefined, defaultAdapter: null, allowedRanks: () => [] }
  submit(): never {
    throw new TypeError('expected no request while the document is made')
  }
  check(): never {
    return this.submit()
  }
  prepareGrammar(): never {
    return this.submit()
  }
}

export async function openApiDocument(version: string): Promise<object> {
  const app = await buildApp({
    engine: new Idle(),
    info: { ...nothing, version },
    notReadyBecause: () => null,
    logger: pino({ level: 'silent' }),
    bodyLimitBytes: 1024,
  })
  try {
    await app.ready()
    return app.swagger()
  } finally {
    await app.close()
  }
}
