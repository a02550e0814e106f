/**
 * Door 2 to ONNX Runtime: its C API with I/O binding, on the library that onnxruntime-node carries. For serving: a run
 * leaves the event loop free, reads and writes tensors in place, and keeps them on a device.
 *
 *     const session = await NativeRuntime.open().createSession(model, { provider: 'cpu' })
 *     const binding = session.createBinding()
 *     const y = session.allocate('float32', [1, 4], 'host')
 *     binding.bindInput('x', wrapHost(Float32Array.of(1, 2, 3, 4), 'float32', [1, 4]))
 *     binding.bindOutput('y', y)
 *     await binding.run() // y.data holds the result
 *     session.close()
 *
 * Everything has `close()`, callable twice; use after it throws a TypeError. A session closes what it made. Closing
 * during a run is safe: what the run needs goes when the run is through.
 */
import { errors, hasCode } from '../../errors.ts'
import { input } from '../graph.ts'
import { serializeModel } from '../model.ts'
import { type Api, cApi } from './c-api.ts'
import { Handle } from './handle.ts'
import type { Pointer } from './library.ts'
import { NativeSession } from './session.ts'
import { type NativeSessionOptions, type Provider, sessionOptions } from './session-options.ts'

/** Fatal only: every failure is thrown with the same text. */
const quiet = 4

export class NativeRuntime {
  static #runtime: NativeRuntime | null = null
  readonly #api: Api
  /** Owned by this and by every session. A CUDA provider that is not put away with it crashes when the process exits. */
  readonly #environment: Handle

  private constructor() {
    this.#api = cApi()
    const { call, release } = this.#api
    this.#environment = new Handle(call.CreateEnv(quiet, 'dylora'), release.Env)
    process.once('exit', () => this.#environment.release())
  }

  /** The one runtime of the process. Throws `device_unavailable` where onnxruntime-node has no library for the platform. */
  static open(): NativeRuntime {
    NativeRuntime.#runtime ??= new NativeRuntime()
    return NativeRuntime.#runtime
  }

  /** As the runtime spells it, such as `1.30.0`. */
  get version(): string {
    return this.#api.library.version
  }

  get libraryPath(): string {
    return this.#api.library.path
  }

  /** Loads a model, from bytes or from a file. Throws `device_unavailable` where the provider cannot be had. */
  async createSession(model: Uint8Array | string, options: NativeSessionOptions): Promise<NativeSession> {
    const settings = sessionOptions(options)
    try {
      return adopt(await this.#load(model, settings.pointer), options)
    } catch (error) {
      throw explain(error, options.provider)
    } finally {
      settings.release()
    }
  }

  async #load(model: Uint8Array | string, settings: Pointer): Promise<Handle> {
    const { onThread, release } = this.#api
    const environment = this.#environment.retain()
    try {
      const pointer =
        typeof model === 'string'
          ? await onThread.CreateSession(environment.pointer, model, settings)
          : await onThread.CreateSessionFromArray(environment.pointer, model, model.byteLength, settings)
      return new Handle(pointer, (session) => {
        release.Session(session)
        environment.release()
      })
    } catch (error) {
      environment.release()
      throw error
    }
  }

  /** Whether a model runs on this provider here and now: its files are there, load, and find a device that computes. */
  async providerAvailable(provider: Provider, deviceId = 0): Promise<boolean> {
    try {
      const session = await this.createSession(probe(), { provider, deviceId, requireProvider: true })
      try {
        return await doubles(session)
      } finally {
        session.close()
      }
    } catch (error) {
      if (hasCode(error, 'device_unavailable')) return false
      throw error
    }
  }
}

function adopt(handle: Handle, options: NativeSessionOptions): NativeSession {
  try {
    return new NativeSession(handle, options)
  } catch (error) {
    handle.release()
    throw error
  }
}

/** A driver or device that is missing shows only when the session is made. */
function explain(error: unknown, provider: Provider): unknown {
  const isDevice = provider === 'cuda' && error instanceof Error && /cuda/i.test(error.message)
  return isDevice && !hasCode(error, 'device_unavailable') ? errors.deviceUnavailable('cuda', error.message) : error
}

function probe(): Uint8Array {
  const x = input('x', 'float32', [1])
  return serializeModel({ y: x.add(x) })
}

async function doubles(session: NativeSession): Promise<boolean> {
  const [x, y] = [session.allocate('float32', [1], 'host'), session.allocate('float32', [1], 'host')]
  x.data[0] = 21
  const binding = session.createBinding()
  binding.bindInput('x', x)
  binding.bindOutput('y', y)
  await binding.run()
  return y.data[0] === 42
}
