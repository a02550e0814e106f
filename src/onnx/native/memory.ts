/** Blocks of memory that tensors lie in: on the host, owned by JavaScript, or on a session's device, given back once. */
import koffi from 'koffi'
import { cApi } from './c-api.ts'
import { Handle } from './handle.ts'
import type { Pointer } from './library.ts'

/** Whoever retains a block releases it once; `close` is the owning tensor's share. */
export interface Block {
  readonly address: Pointer
  /** The runtime's description of this kind of memory. */
  readonly info: Pointer
  /** The memory itself, where JavaScript can reach it. */
  readonly buffer: ArrayBuffer | null
  readonly open: boolean
  retain(): void
  release(): void
  close(): void
}

/** What the runtime calls the kinds of memory; with `Cpu`, the path of device memory runs without a device. */
export type MemoryName = 'Cuda' | 'Cpu'

const deviceAllocator = 0
const defaultMemory = 0

function memoryInfo(name: MemoryName, deviceId: number): Handle {
  const { call, release } = cApi()
  return new Handle(call.CreateMemoryInfo(name, deviceAllocator, deviceId, defaultMemory), release.MemoryInfo)
}

/** Describes all host memory, as long as the process lives. */
let hostInfo: Handle | null = null

/** Memory of an ArrayBuffer. It lives as long as anything refers to this block, so there is nothing to give back. */
export class HostBlock implements Block {
  readonly buffer: ArrayBuffer
  readonly address: Pointer
  readonly info: Pointer
  readonly #size: number
  #closed = false

  constructor(buffer: ArrayBuffer) {
    hostInfo ??= memoryInfo('Cpu', 0)
    this.buffer = buffer
    this.#size = buffer.byteLength
    this.address = koffi.address(buffer)
    this.info = hostInfo.pointer
  }

  /** A buffer that was transferred to another thread is empty here. */
  get open(): boolean {
    return !this.#closed && this.buffer.byteLength === this.#size
  }

  retain(): void {}

  release(): void {}

  close(): void {
    this.#closed = true
  }
}

class DeviceBlock implements Block {
  readonly buffer = null
  readonly address: Pointer
  readonly info: Pointer
  readonly #memory: Handle
  open = true

  constructor(memory: Handle, info: Pointer) {
    this.address = memory.pointer
    this.info = info
    this.#memory = memory
  }

  retain(): void {
    this.#memory.retain()
  }

  release(): void {
    this.#memory.release()
  }

  close(): void {
    if (!this.open) return
    this.open = false
    this.#memory.release()
  }
}

/** Memory of one device, from the session's own arena. The session lives until the last block is given back. */
export class DeviceMemory {
  readonly #info: Handle
  readonly #allocator: Handle
  readonly #blocks = new Set<DeviceBlock>()

  constructor(session: Handle, name: MemoryName, deviceId: number) {
    const { call, release } = cApi()
    const info = memoryInfo(name, deviceId)
    const allocator = call.CreateAllocator(session.pointer, info.pointer)
    session.retain()
    this.#info = info
    this.#allocator = new Handle(allocator, (pointer) => {
      release.Allocator(pointer)
      info.release()
      session.release()
    })
  }

  /** A block of this size, with whatever it holds. Throws where the device, or the arena's limit, has no more. */
  allocate(bytes: number): Block {
    const { call } = cApi()
    const address = call.AllocatorAlloc(this.#allocator.pointer, Math.max(bytes, 1))
    const allocator = this.#allocator.retain()
    const memory = new Handle(address, () => {
      call.AllocatorFree(allocator.pointer, address)
      allocator.release()
      this.#blocks.delete(block)
    })
    const block = new DeviceBlock(memory, this.#info.pointer)
    this.#blocks.add(block)
    return block
  }

  /** Closes every block; what bindings still hold goes with them. */
  close(): void {
    for (const block of this.#blocks) block.close()
    this.#allocator.release()
  }
}
