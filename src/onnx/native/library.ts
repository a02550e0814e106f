/** Finds and loads the ONNX Runtime library that onnxruntime-node carries: one copy of the runtime for both doors. */
import '../quiet-runtime.ts'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import koffi, { type LibraryHandle } from 'koffi'
import { errors } from '../../errors.ts'

/** An address; 0n is null. */
export type Pointer = bigint

interface Platform {
  /** The very file that onnxruntime-node links against. */
  readonly runtime: string
  /** What the CUDA provider consists of; absent where there is none for the platform. */
  readonly cuda?: readonly string[]
}

const linux: Platform = {
  runtime: 'libonnxruntime.so.1',
  cuda: ['libonnxruntime_providers_shared.so', 'libonnxruntime_providers_cuda.so'],
}
const windows: Platform = {
  runtime: 'onnxruntime.dll',
  cuda: ['onnxruntime_providers_shared.dll', 'onnxruntime_providers_cuda.dll'],
}

const platforms: Readonly<Record<string, Platform>> = {
  'linux/x64': linux,
  'linux/arm64': { runtime: linux.runtime },
  'darwin/arm64': { runtime: 'libonnxruntime.1.dylib' },
  'win32/x64': windows,
  'win32/arm64': { runtime: windows.runtime },
}

export interface Library {
  /** koffi unloads the library when nothing refers to this any more. */
  readonly handle: LibraryHandle
  readonly path: string
  /** As the runtime spells it, such as `1.30.0`. */
  readonly version: string
  /** Address of entry `index` of the table of functions. */
  function(index: number): Pointer
}

/** The API version asked for; its table is a prefix of the table of every later version. */
const apiVersion = 16
const entries = 260

/** Native code runs on a stack of koffi's making: give sessions as much as a main thread has. Idle pages cost nothing. */
const asyncStackBytes = 8 * 1024 * 1024

let loaded: Library | null = null

/** Loads the library once; throws `device_unavailable` where onnxruntime-node has none for this platform. */
export function loadLibrary(): Library {
  loaded ??= load(runtimeFile())
  return loaded
}

function load(path: string): Library {
  koffi.config({ async_stack_size: asyncStackBytes })
  const handle = koffi.load(path)
  const base: unknown = handle.func('OrtGetApiBase', 'void *', [])()
  const [getApi, getVersion]: Pointer[] = koffi.decode(base, 'void *', 2)
  const table: unknown = koffi.call(getApi, koffi.proto('void *', ['uint32_t']), apiVersion)
  if (table === null) throw errors.deviceUnavailable('cpu', `expected version ${apiVersion} of the C API in ${path}`)
  const functions: readonly (Pointer | null)[] = koffi.decode(table, 'void *', entries)
  return {
    handle,
    path,
    version: koffi.call(getVersion, koffi.proto('str', [])),
    function: (index) => {
      const address = functions[index]
      if (!address) throw new RangeError(`expected a function at ${index} of the C API, got none`)
      return address
    },
  }
}

/** What is missing of the CUDA provider's files, or null when all lie beside the runtime. */
export function missingCudaFile(): string | null {
  const { cuda } = platform()
  if (cuda === undefined) return `onnxruntime-node has no CUDA provider for ${platformName()}`
  const missing = cuda.find((file) => !existsSync(join(directory(), file)))
  return missing === undefined ? null : `expected ${missing} beside ${runtimeFile()}, got none`
}

const platformName = () => `${process.platform}/${process.arch}`

function platform(): Platform {
  const known = platforms[platformName()]
  if (known !== undefined) return known
  throw errors.deviceUnavailable('cpu', `expected one of ${Object.keys(platforms).join(', ')}, got ${platformName()}`)
}

const directory = () =>
  join(dirname(createRequire(import.meta.url).resolve('onnxruntime-node')), '../bin/napi-v6', platformName())

const runtimeFile = () => join(directory(), platform().runtime)
