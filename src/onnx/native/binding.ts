/** Tensors bound to a model's inputs and outputs, and the run over them. */
import { errors } from '../../errors.ts'
import { dataTypes } from '../encoding.ts'
import { formatType } from '../tensor-type.ts'
import { cApi } from './c-api.ts'
import { Handle } from './handle.ts'
import type { Block } from './memory.ts'
import type { NamedType } from './signature.ts'
import type { NativeTensor } from './tensor.ts'

/** One side of a model, and the memory that is bound to it by name. */
interface Side {
  readonly bind: 'BindInput' | 'BindOutput'
  readonly types: ReadonlyMap<string, NamedType>
  readonly held: Map<string, Block>
}

const side = (bind: Side['bind'], types: readonly NamedType[]): Side => ({
  bind,
  types: new Map(types.map((type) => [type.name, type])),
  held: new Map(),
})

export interface NativeBindingOptions {
  readonly session: Handle
  /** Whether host tensors are copied to a device when they are bound as inputs. */
  readonly uploads: boolean
  readonly inputs: readonly NamedType[]
  readonly outputs: readonly NamedType[]
  readonly onClose: (binding: NativeBinding) => void
}

export class NativeBinding {
  readonly #session: Handle
  readonly #handle: Handle
  readonly #runOptions: Handle
  readonly #inputs: Side
  readonly #outputs: Side
  readonly #uploads: boolean
  readonly #onClose: (binding: NativeBinding) => void
  #uploading = false
  #open = true
  #running = false

  /** Not for callers: see `session.createBinding`. */
  constructor({ session, uploads, inputs, outputs, onClose }: NativeBindingOptions) {
    const { call, release } = cApi()
    this.#handle = new Handle(call.CreateIoBinding(session.pointer), release.IoBinding)
    this.#runOptions = new Handle(call.CreateRunOptions(), release.RunOptions)
    this.#session = session.retain()
    this.#inputs = side('BindInput', inputs)
    this.#outputs = side('BindOutput', outputs)
    this.#uploads = uploads
    this.#onClose = onClose
  }

  /**
   * Runs read this input from `tensor`'s memory, until another tensor is bound. A host tensor with the cpu provider is
   * read at each run. With a device it is copied there from now on and until the run starts: bind again after changing it.
   */
  bindInput(name: string, tensor: NativeTensor): void {
    this.#bind(this.#inputs, name, tensor)
    this.#uploading ||= this.#uploads && tensor.where === 'host'
  }

  /**
   * Runs write this output to `tensor`'s memory, which may be an input's as well. Outputs that are not bound are not
   * computed. The shape must be the one that the run arrives at.
   */
  bindOutput(name: string, tensor: NativeTensor): void {
    this.#bind(this.#outputs, name, tensor)
  }

  /**
   * One run over what is bound, on a thread of its own; one at a time per binding, while other bindings may run too. Until
   * it settles the tensors' elements are the runtime's. Aborting `signal` stops the run between two nodes: it rejects with
   * `cancelled` and leaves outputs in part written. What the runtime has to say otherwise comes as an Error.
   */
  async run({ signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    this.#expectIdle()
    this.#expectInputs()
    if (signal?.aborted) throw errors.cancelled('The run was cancelled before it started')
    this.#running = true
    try {
      await (signal ? this.#runUntil(signal) : this.#runOnThread())
    } finally {
      this.#running = false
      if (!this.#open) this.#release()
    }
  }

  /** Forgets everything that is bound. */
  clear(): void {
    this.#expectIdle()
    const { release } = cApi()
    release.BoundInputs(this.#handle.pointer)
    release.BoundOutputs(this.#handle.pointer)
    this.#letGo()
  }

  /** Lets go of all tensors; during a run, once it is through. Idempotent. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    this.#onClose(this)
    if (!this.#running) this.#release()
  }

  async #runOnThread(): Promise<void> {
    const { onThread } = cApi()
    // Uploads go through a stream of their own, which the run's stream does not wait for.
    if (this.#uploading) await onThread.SynchronizeBoundInputs(this.#handle.pointer)
    this.#uploading = false
    await onThread.RunWithBinding(this.#session.pointer, this.#runOptions.pointer, this.#handle.pointer)
  }

  async #runUntil(signal: AbortSignal): Promise<void> {
    const { call } = cApi()
    const stop = () => call.RunOptionsSetTerminate(this.#runOptions.pointer)
    signal.addEventListener('abort', stop)
    try {
      await this.#runOnThread()
    } catch (error) {
      throw signal.aborted ? errors.cancelled('The run was cancelled') : error
    } finally {
      signal.removeEventListener('abort', stop)
      call.RunOptionsUnsetTerminate(this.#runOptions.pointer)
    }
  }

  #bind({ bind, types, held }: Side, name: string, tensor: NativeTensor): void {
    this.#expectIdle()
    expectFit(types, name, tensor)
    const { call, release } = cApi()
    const { block, byteOffset } = tensor.place
    const shape = BigInt64Array.from(tensor.shape, BigInt)
    const value = call.CreateTensorWithDataAsOrtValue(
      block.info,
      block.address + BigInt(byteOffset),
      tensor.byteLength,
      shape,
      shape.length,
      dataTypes[tensor.dtype],
    )
    try {
      call[bind](this.#handle.pointer, name, value)
    } finally {
      release.Value(value)
    }
    block.retain()
    held.get(name)?.release()
    held.set(name, block)
  }

  #expectIdle(): void {
    if (!this.#open) throw new TypeError('expected an open binding, got a closed one')
    if (this.#running) throw new TypeError('expected a binding at rest, got one with a run under way')
  }

  #expectInputs(): void {
    const { types, held } = this.#inputs
    if (held.size === types.size) return
    const missing = [...types.keys()].filter((name) => !held.has(name))
    throw new TypeError(`expected every input to be bound, got none for ${missing.join(', ')}`)
  }

  #letGo(): void {
    for (const { held } of [this.#inputs, this.#outputs]) {
      for (const block of held.values()) block.release()
      held.clear()
    }
  }

  #release(): void {
    this.#handle.release()
    this.#runOptions.release()
    this.#letGo()
    this.#session.release()
  }
}

/** Known sizes must agree; the runtime checks the named ones when it runs. */
function expectFit(types: ReadonlyMap<string, NamedType>, name: string, tensor: NativeTensor): void {
  const type = types.get(name)
  if (type === undefined) throw new RangeError(`expected one of ${[...types.keys()].join(', ')}, got '${name}'`)
  const { dtype, shape } = type
  const fits =
    shape.length === tensor.shape.length && shape.every((dim, i) => typeof dim === 'string' || dim === tensor.shape[i])
  if (dtype !== tensor.dtype || !fits) throw new TypeError(`expected ${formatType(type)} for '${name}', got ${tensor}`)
}
