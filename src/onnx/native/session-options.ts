/** How a native session is set up: options of ours, and their translation into calls. */
import { errors } from '../../errors.ts'
import { type Api, cApi } from './c-api.ts'
import { Handle } from './handle.ts'
import { missingCudaFile, type Pointer } from './library.ts'

export type Provider = 'cpu' | 'cuda'

export interface NativeSessionOptions {
  readonly provider: Provider
  /** Which CUDA device; 0 by default. */
  readonly deviceId?: number
  /** Bound of the device memory arena, tensors on the device included; none by default. */
  readonly gpuMemLimitBytes?: number
  /** TF32 in float32 products on CUDA: faster, relative error near 1e-3. Off by default. */
  readonly useTf32?: boolean
  /** Threads within an op; as many as there are cores by default. */
  readonly intraOpNumThreads?: number
  /** Idle threads spin for a while: somewhat faster for small models, at the price of busy cores. Off by default. */
  readonly allowSpinning?: boolean
  /** Directory in which external data is looked up when the model comes as bytes. */
  readonly externalDataDirectory?: string
  /** Refuse a model of which CUDA cannot run every node, instead of running the others on the CPU. */
  readonly requireProvider?: boolean
  /** Prefix of the file that `endProfiling` writes. */
  readonly profile?: string
}

const sequential = 0
const allOptimizations = 99
/** Fatal only: every failure is thrown with the same message. */
const quiet = 4

/** Session options as the runtime wants them; throws `device_unavailable` where the provider cannot be loaded. */
export function sessionOptions(options: NativeSessionOptions): Handle {
  const api = cApi()
  const handle = new Handle(api.call.CreateSessionOptions(), api.release.SessionOptions)
  try {
    configure(api, handle.pointer, options)
    if (options.provider === 'cuda') appendCuda(api, handle.pointer, options)
  } catch (error) {
    handle.release()
    throw error
  }
  return handle
}

function configure({ call }: Api, pointer: Pointer, options: NativeSessionOptions): void {
  call.SetSessionExecutionMode(pointer, sequential)
  call.SetSessionGraphOptimizationLevel(pointer, allOptimizations)
  call.SetInterOpNumThreads(pointer, 1)
  call.SetSessionLogSeverityLevel(pointer, quiet)
  // Shapes vary from run to run, and the runtime would keep a plan for each.
  call.DisableMemPattern(pointer)
  if (options.intraOpNumThreads !== undefined) call.SetIntraOpNumThreads(pointer, options.intraOpNumThreads)
  if (options.profile !== undefined) call.EnableProfiling(pointer, options.profile)
  for (const [key, value] of Object.entries(configEntries(options))) call.AddSessionConfigEntry(pointer, key, value)
}

function configEntries(options: NativeSessionOptions): Readonly<Record<string, string>> {
  const { provider, allowSpinning = false, externalDataDirectory, requireProvider = false } = options
  return {
    'session.intra_op.allow_spinning': allowSpinning ? '1' : '0',
    ...(externalDataDirectory === undefined
      ? {}
      : { 'session.model_external_initializers_file_folder_path': `${externalDataDirectory}/` }),
    ...(requireProvider && provider !== 'cpu' ? { 'session.disable_cpu_ep_fallback': '1' } : {}),
  }
}

function appendCuda({ call, release }: Api, pointer: Pointer, options: NativeSessionOptions): void {
  const missing = missingCudaFile()
  if (missing !== null) throw errors.deviceUnavailable('cuda', missing)
  const cuda = new Handle(call.CreateCUDAProviderOptions(), release.CUDAProviderOptions)
  try {
    const settings = Object.entries(cudaSettings(options))
    call.UpdateCUDAProviderOptions(
      cuda.pointer,
      settings.map(([key]) => key),
      settings.map(([, value]) => value),
      settings.length,
    )
    call.SessionOptionsAppendExecutionProvider_CUDA_V2(pointer, cuda.pointer)
  } catch (error) {
    throw errors.deviceUnavailable('cuda', error instanceof Error ? error.message : String(error))
  } finally {
    cuda.release()
  }
}

function cudaSettings({ deviceId = 0, gpuMemLimitBytes, useTf32 = false }: NativeSessionOptions) {
  return {
    device_id: String(deviceId),
    use_tf32: useTf32 ? '1' : '0',
    // By powers of two, the arena would take up to twice what the cache needs.
    arena_extend_strategy: 'kSameAsRequested',
    ...(gpuMemLimitBytes === undefined ? {} : { gpu_mem_limit: String(gpuMemLimitBytes) }),
  }
}
