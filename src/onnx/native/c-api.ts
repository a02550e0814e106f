/**
 * The functions used of ONNX Runtime's C API: one table of their places and parameters, from which typed calls are made.
 *
 * Places are those of `OrtApi` in onnxruntime_c_api.h; it only ever grows at its end. A call checks its status: a failure
 * becomes an Error with the runtime's message. The one output of a function is its last parameter in C and the result here.
 */
import koffi from 'koffi'
import { type Library, loadLibrary, type Pointer } from './library.ts'

/** A block of memory whose owner keeps it alive during the call. */
type Memory = ArrayBufferView | Pointer

interface Kinds {
  pointer: Pointer
  memory: Memory
  size: number
  int: number
  text: string
  /** Wide characters on Windows. */
  path: string
  texts: readonly string[]
}

interface Signature {
  readonly index: number
  readonly takes: readonly (keyof Kinds)[]
  readonly gives?: 'pointer' | 'number'
}

const functions = {
  CreateEnv: { index: 3, takes: ['int', 'text'], gives: 'pointer' },
  CreateSession: { index: 7, takes: ['pointer', 'path', 'pointer'], gives: 'pointer' },
  CreateSessionFromArray: { index: 8, takes: ['pointer', 'memory', 'size', 'pointer'], gives: 'pointer' },
  CreateSessionOptions: { index: 10, takes: [], gives: 'pointer' },
  SetSessionExecutionMode: { index: 13, takes: ['pointer', 'int'] },
  EnableProfiling: { index: 14, takes: ['pointer', 'path'] },
  DisableMemPattern: { index: 17, takes: ['pointer'] },
  SetSessionLogSeverityLevel: { index: 22, takes: ['pointer', 'int'] },
  SetSessionGraphOptimizationLevel: { index: 23, takes: ['pointer', 'int'] },
  SetIntraOpNumThreads: { index: 24, takes: ['pointer', 'int'] },
  SetInterOpNumThreads: { index: 25, takes: ['pointer', 'int'] },
  SessionGetInputCount: { index: 30, takes: ['pointer'], gives: 'number' },
  SessionGetOutputCount: { index: 31, takes: ['pointer'], gives: 'number' },
  SessionGetInputTypeInfo: { index: 33, takes: ['pointer', 'size'], gives: 'pointer' },
  SessionGetOutputTypeInfo: { index: 34, takes: ['pointer', 'size'], gives: 'pointer' },
  SessionGetInputName: { index: 36, takes: ['pointer', 'size', 'pointer'], gives: 'pointer' },
  SessionGetOutputName: { index: 37, takes: ['pointer', 'size', 'pointer'], gives: 'pointer' },
  CreateRunOptions: { index: 39, takes: [], gives: 'pointer' },
  RunOptionsSetTerminate: { index: 46, takes: ['pointer'] },
  RunOptionsUnsetTerminate: { index: 47, takes: ['pointer'] },
  CreateTensorWithDataAsOrtValue: {
    index: 49,
    takes: ['pointer', 'pointer', 'size', 'memory', 'size', 'int'],
    gives: 'pointer',
  },
  CastTypeInfoToTensorInfo: { index: 55, takes: ['pointer'], gives: 'pointer' },
  GetTensorElementType: { index: 60, takes: ['pointer'], gives: 'number' },
  GetDimensionsCount: { index: 61, takes: ['pointer'], gives: 'number' },
  GetDimensions: { index: 62, takes: ['pointer', 'memory', 'size'] },
  GetSymbolicDimensions: { index: 63, takes: ['pointer', 'memory', 'size'] },
  CreateMemoryInfo: { index: 68, takes: ['text', 'int', 'int', 'int'], gives: 'pointer' },
  AllocatorAlloc: { index: 75, takes: ['pointer', 'size'], gives: 'pointer' },
  AllocatorFree: { index: 76, takes: ['pointer', 'pointer'] },
  GetAllocatorWithDefaultOptions: { index: 78, takes: [], gives: 'pointer' },
  SessionEndProfiling: { index: 110, takes: ['pointer', 'pointer'], gives: 'pointer' },
  AddSessionConfigEntry: { index: 130, takes: ['pointer', 'text', 'text'] },
  CreateAllocator: { index: 131, takes: ['pointer', 'pointer'], gives: 'pointer' },
  RunWithBinding: { index: 133, takes: ['pointer', 'pointer', 'pointer'] },
  CreateIoBinding: { index: 134, takes: ['pointer'], gives: 'pointer' },
  BindInput: { index: 136, takes: ['pointer', 'text', 'pointer'] },
  BindOutput: { index: 137, takes: ['pointer', 'text', 'pointer'] },
  SynchronizeBoundInputs: { index: 202, takes: ['pointer'] },
  SessionOptionsAppendExecutionProvider_CUDA_V2: { index: 204, takes: ['pointer', 'pointer'] },
  CreateCUDAProviderOptions: { index: 205, takes: [], gives: 'pointer' },
  UpdateCUDAProviderOptions: { index: 206, takes: ['pointer', 'texts', 'texts', 'size'] },
} as const satisfies Readonly<Record<string, Signature>>

/** What gives things back: functions of one pointer that cannot fail. `Bound…` are ClearBoundInputs and ClearBoundOutputs. */
const releases = {
  Env: 92,
  Status: 93,
  MemoryInfo: 94,
  Session: 95,
  Value: 96,
  RunOptions: 97,
  TypeInfo: 98,
  SessionOptions: 100,
  Allocator: 132,
  IoBinding: 135,
  CUDAProviderOptions: 208,
  BoundInputs: 141,
  BoundOutputs: 142,
} as const

type Functions = typeof functions
type Name = keyof Functions
type Values<T extends readonly (keyof Kinds)[]> = { [I in keyof T]: Kinds[T[I]] }
type Arguments<N extends Name> = Values<Functions[N]['takes']>
type Result<N extends Name> = Functions[N] extends { gives: infer G }
  ? G extends 'pointer'
    ? Pointer
    : number
  : undefined

/** Every function, checked; those of `onThread` run on a thread of libuv's pool while the event loop goes on. */
export interface Api {
  readonly library: Library
  readonly call: { readonly [N in Name]: (...args: Arguments<N>) => Result<N> }
  /** Arguments are kept until the promise settles; what addresses point to is the caller's to keep. */
  readonly onThread: { readonly [N in Name]: (...args: Arguments<N>) => Promise<Result<N>> }
  readonly release: { readonly [R in keyof typeof releases]: (pointer: Pointer) => void }
}

const cTypes: Readonly<Record<keyof Kinds, string>> = {
  pointer: 'void *',
  memory: 'void *',
  size: 'size_t',
  int: 'int',
  text: 'str',
  path: process.platform === 'win32' ? 'str16' : 'str',
  texts: 'const char **',
}

interface NativeFunction {
  (...args: readonly unknown[]): unknown
  async(...args: readonly unknown[]): void
}

const nativeFunction = (address: Pointer, result: string, parameters: readonly string[]): NativeFunction =>
  koffi.decode(address, koffi.proto(result, [...parameters]))

let bound: Api | null = null

/** The C API, bound once. */
export function cApi(): Api {
  bound ??= bind(loadLibrary())
  return bound
}

function bind(library: Library): Api {
  const release = mapValues(releases, (index) => nativeFunction(library.function(index), 'void', ['void *']))
  const message = nativeFunction(library.function(2), 'str', ['void *'])
  const check = (status: unknown): void => {
    if (status === null) return
    const error = new Error(String(message(status)).trim())
    release.Status(status)
    throw error
  }
  const natives = mapValues(functions, ({ index, takes, gives }: Signature) => {
    const parameters = takes.map((kind) => cTypes[kind])
    return {
      native: nativeFunction(library.function(index), 'void *', gives ? [...parameters, 'void *'] : parameters),
      gives,
    }
  })
  return {
    library,
    release,
    call: mapValues(natives, ({ native, gives }) => checkedCall(native, gives, check)),
    onThread: mapValues(natives, ({ native, gives }) => threadCall(native, gives, check)),
  } as unknown as Api
}

type Gives = Signature['gives']
type Check = (status: unknown) => void

/** One cell serves all synchronous calls: it is read before another can start. */
const cell = new BigUint64Array(1)

function checkedCall(native: NativeFunction, gives: Gives, check: Check) {
  if (gives === undefined) return (...args: readonly unknown[]) => check(native(...args))
  return (...args: readonly unknown[]) => {
    cell[0] = 0n
    check(native(...args, cell))
    return read(cell, gives)
  }
}

/** What calls on other threads point to; nothing else may refer to it meanwhile. */
const underWay = new Set<readonly unknown[]>()

function threadCall(native: NativeFunction, gives: Gives, check: Check) {
  return (...args: readonly unknown[]) =>
    new Promise((resolve, reject) => {
      const result = new BigUint64Array(1)
      const passed = gives ? [...args, result] : args
      const done = (failure: unknown, status: unknown) => {
        underWay.delete(passed)
        try {
          if (failure) throw failure
          check(status)
          resolve(gives && read(result, gives))
        } catch (error) {
          reject(error)
        }
      }
      native.async(...passed, done)
      underWay.add(passed)
    })
}

const read = ([value = 0n]: BigUint64Array, gives: Gives) => (gives === 'number' ? Number(value) : value)

function mapValues<K extends string, V, W>(table: Readonly<Record<K, V>>, map: (value: V) => W): Record<K, W> {
  return Object.fromEntries(Object.entries<V>(table).map(([key, value]) => [key, map(value)])) as Record<K, W>
}
