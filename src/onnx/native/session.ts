/** A loaded model: what it takes and gives, memory on its device, and bindings to run it with. */
import type { DType } from '../tensor-type.ts'
import { NativeBinding } from './binding.ts'
import { cApi } from './c-api.ts'
import { bytesPerElement } from './element-type.ts'
import type { Handle } from './handle.ts'
import { DeviceMemory } from './memory.ts'
import type { NativeSessionOptions } from './session-options.ts'
import { type NamedType, readSignature, readText } from './signature.ts'
import { elements, hostTensor, NativeTensor } from './tensor.ts'

export class NativeSession {
  readonly inputs: readonly NamedType[]
  readonly outputs: readonly NamedType[]
  readonly #handle: Handle
  readonly #options: NativeSessionOptions
  readonly #bindings = new Set<NativeBinding>()
  #memory: DeviceMemory | null = null
  #open = true

  /** Not for callers: see `NativeRuntime.createSession`. */
  constructor(handle: Handle, options: NativeSessionOptions) {
    this.#handle = handle
    this.#options = options
    this.inputs = readSignature(handle.pointer, 'inputs')
    this.outputs = readSignature(handle.pointer, 'outputs')
  }

  /**
   * A new tensor: zeros on the host, anything on a device. With the cpu provider the device is the host. Tensors on a
   * device close with the session at the latest; those on the host stay usable.
   */
  allocate<D extends DType>(dtype: D, shape: readonly number[], where: 'host' | 'device'): NativeTensor<D> {
    this.#expectOpen()
    const { provider, deviceId = 0 } = this.#options
    if (where === 'host' || provider === 'cpu') return hostTensor(dtype, shape)
    this.#memory ??= new DeviceMemory(this.#handle, 'Cuda', deviceId)
    const block = this.#memory.allocate(elements(shape) * bytesPerElement(dtype))
    return new NativeTensor(dtype, shape, { block, byteOffset: 0 })
  }

  /** A binding with nothing bound; closes with the session at the latest. */
  createBinding(): NativeBinding {
    this.#expectOpen()
    const onClose = (closed: NativeBinding) => void this.#bindings.delete(closed)
    const binding = new NativeBinding({
      session: this.#handle,
      uploads: this.#options.provider !== 'cpu',
      inputs: this.inputs,
      outputs: this.outputs,
      onClose,
    })
    this.#bindings.add(binding)
    return binding
  }

  /** Ends the profile that option `profile` began, and returns its path. */
  endProfiling(): string {
    this.#expectOpen()
    return readText((allocator) => cApi().call.SessionEndProfiling(this.#handle.pointer, allocator))
  }

  /** Closes bindings and device tensors too. Runs under way finish, and the native session goes with the last. Idempotent. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    for (const binding of this.#bindings) binding.close()
    this.#memory?.close()
    this.#handle.release()
  }

  #expectOpen(): void {
    if (!this.#open) throw new TypeError('expected an open session, got a closed one')
  }
}
