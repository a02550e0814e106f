/** Python's pickle, read and never run: only the opcodes that a dictionary of tensors needs, and only the globals allowed. */

/** A pickle that breaks its format, or asks for more than a state dict needs. */
export class PickleError extends Error {
  override name = 'PickleError'
}

/** A function of Python that the reader knows how to do without; everything else is refused by its name. */
export type PickleCall = (args: readonly unknown[]) => unknown

export interface PickleWorld {
  /** By `module.name`: a value, or a `PickleCall` that a REDUCE may apply. */
  readonly globals: ReadonlyMap<string, unknown>
  /** The object behind a persistent id. */
  readonly persistent: (id: unknown) => unknown
}

/**
 * The value of a pickle (protocols 0 to 5): numbers, strings, `null`, booleans; arrays for lists and tuples, Maps for
 * dictionaries, and whatever the world makes. Throws PickleError. Opcodes as in CPython's `pickletools`.
 */
export function unpickle(bytes: Uint8Array, world: PickleWorld): unknown {
  const machine = new Machine(bytes, world)
  while (!machine.stopped) machine.step()
  return machine.pop()
}

class Machine {
  stopped = false
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #world: PickleWorld
  readonly #memo = new Map<number, unknown>()
  /** Values above the innermost mark, and those below it, mark by mark. */
  #stack: unknown[] = []
  readonly #below: unknown[][] = []
  #position = 0

  constructor(bytes: Uint8Array, world: PickleWorld) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#world = world
  }

  step(): void {
    const at = this.#position
    const code = this.#view.getUint8(this.#take(1))
    const run = opcodes[code]
    if (!run) throw new PickleError(`opcode 0x${code.toString(16)} at byte ${at} is not one that a state dict needs`)
    run(this)
  }

  /** Where the next `count` bytes start. */
  #take(count: number): number {
    const start = this.#position
    if (count > this.#bytes.length - start)
      throw new PickleError(`it ends at byte ${this.#bytes.length}, in the middle`)
    this.#position += count
    return start
  }

  uint8 = () => this.#view.getUint8(this.#take(1))
  uint16 = () => this.#view.getUint16(this.#take(2), true)
  uint32 = () => this.#view.getUint32(this.#take(4), true)
  int32 = () => this.#view.getInt32(this.#take(4), true)
  uint64 = () => Number(this.#view.getBigUint64(this.#take(8), true))
  float64 = () => this.#view.getFloat64(this.#take(8), false)

  text(length: number): string {
    const start = this.#take(length)
    return Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + start, length).toString('utf8')
  }

  line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#position)
    const line = this.text((end < 0 ? this.#bytes.length : end) - this.#position)
    this.#take(1)
    return line
  }

  /** Two's complement, little-endian; what Python needs more than a double's 53 bits for is no size or offset. */
  long(length: number): number {
    let value = 0n
    const start = this.#take(length)
    if (length > 8) throw new PickleError(`expected a number of at most 8 bytes, got ${length}`)
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#bytes[start + i] ?? 0)
    return Number(BigInt.asIntN(8 * length, value))
  }

  push(value: unknown): void {
    this.#stack.push(value)
  }

  pop(): unknown {
    if (this.#stack.length === 0) throw new PickleError(`it takes more than there is at byte ${this.#position}`)
    return this.#stack.pop()
  }

  mark(): void {
    this.#below.push(this.#stack)
    this.#stack = []
  }

  /** Everything above the innermost mark, which goes away. */
  popToMark(): unknown[] {
    const values = this.#stack
    const below = this.#below.pop()
    if (!below) throw new PickleError(`there is no mark at byte ${this.#position}`)
    this.#stack = below
    return values
  }

  popMany(count: number): unknown[] {
    return Array.from({ length: count }, () => this.pop()).reverse()
  }

  top<T>(is: (value: unknown) => value is T, expected: string): T {
    const value = this.#stack.at(-1)
    if (!is(value)) throw new PickleError(`expected ${expected} at byte ${this.#position}`)
    return value
  }

  put(index: number): void {
    const value = this.pop()
    this.push(value)
    this.#memo.set(index, value)
  }

  memoize(): void {
    this.put(this.#memo.size)
  }

  get(index: number): void {
    if (!this.#memo.has(index)) throw new PickleError(`there is nothing in its memo at ${index}`)
    this.push(this.#memo.get(index))
  }

  global(module: unknown, name: unknown): void {
    const key = `${String(module)}.${String(name)}`
    if (!this.#world.globals.has(key)) {
      throw new PickleError(`it asks for ${key}, which a state dict of tensors does not need; nothing of it was run`)
    }
    this.push(this.#world.globals.get(key))
  }

  reduce(): void {
    const [call, args] = this.popMany(2)
    if (typeof call !== 'function' || !Array.isArray(args)) throw new PickleError('it calls what is no function')
    this.push((call as PickleCall)(args))
  }

  /** The state of an OrderedDict holds versions of modules, which say nothing about the tensors. */
  build(): void {
    this.pop()
    this.top(isMap, 'a dictionary to build on')
  }

  persistent(): void {
    this.push(this.#world.persistent(this.pop()))
  }

  setItems(items: readonly unknown[]): void {
    const map = this.top(isMap, 'a dictionary')
    if (items.length % 2 !== 0) throw new PickleError(`a key without a value at byte ${this.#position}`)
    for (let i = 0; i < items.length; i += 2) map.set(items[i], items[i + 1])
  }

  append(items: readonly unknown[]): void {
    const list = this.top(isList, 'a list')
    for (const item of items) list.push(item)
  }
}

const isMap = (value: unknown): value is Map<unknown, unknown> => value instanceof Map
const isList = (value: unknown): value is unknown[] => Array.isArray(value)

// biome-ignore format: reads as a table
const opcodes: Readonly<Record<number, (m: Machine) => void>> = {
  128: (m) => void m.uint8(),                                  // PROTO
  149: (m) => void m.uint64(),                                 // FRAME
  46: (m) => { m.stopped = true },                            // STOP
  40: (m) => m.mark(),                                        // MARK
  48: (m) => void m.pop(),                                    // POP
  78: (m) => m.push(null),                                    // NONE
  136: (m) => m.push(true),                                    // NEWTRUE
  137: (m) => m.push(false),                                   // NEWFALSE
  74: (m) => m.push(m.int32()),                               // BININT
  75: (m) => m.push(m.uint8()),                               // BININT1
  77: (m) => m.push(m.uint16()),                              // BININT2
  138: (m) => m.push(m.long(m.uint8())),                       // LONG1
  71: (m) => m.push(m.float64()),                             // BINFLOAT
  88: (m) => m.push(m.text(m.uint32())),                      // BINUNICODE
  140: (m) => m.push(m.text(m.uint8())),                       // SHORT_BINUNICODE
  93: (m) => m.push([]),                                      // EMPTY_LIST
  97: (m) => m.append(m.popMany(1)),                          // APPEND
  101: (m) => m.append(m.popToMark()),                         // APPENDS
  41: (m) => m.push([]),                                      // EMPTY_TUPLE
  133: (m) => m.push(m.popMany(1)),                            // TUPLE1
  134: (m) => m.push(m.popMany(2)),                            // TUPLE2
  135: (m) => m.push(m.popMany(3)),                            // TUPLE3
  116: (m) => m.push(m.popToMark()),                           // TUPLE
  125: (m) => m.push(new Map()),                               // EMPTY_DICT
  115: (m) => m.setItems(m.popMany(2)),                        // SETITEM
  117: (m) => m.setItems(m.popToMark()),                       // SETITEMS
  113: (m) => m.put(m.uint8()),                                // BINPUT
  114: (m) => m.put(m.uint32()),                               // LONG_BINPUT
  148: (m) => m.memoize(),                                     // MEMOIZE
  104: (m) => m.get(m.uint8()),                                // BINGET
  106: (m) => m.get(m.uint32()),                               // LONG_BINGET
  99: (m) => m.global(m.line(), m.line()),                    // GLOBAL
  147: (m) => { const [module, name] = m.popMany(2); m.global(module, name) }, // STACK_GLOBAL
  82: (m) => m.reduce(),                                      // REDUCE
  98: (m) => m.build(),                                       // BUILD
  81: (m) => m.persistent(),                                  // BINPERSID
}
