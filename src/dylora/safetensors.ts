/** The safetensors format: an 8-byte header size, a JSON header, then the tensors back to back, little-endian. */
import { type FileHandle, open } from 'node:fs/promises'
import { float32FromBfloat16, float32FromFloat16 } from './float16.ts'
import { publishFile } from './publish.ts'

/** Bytes per element. */
export const dtypeBytes = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  I64: 8,
  U64: 8,
  F64: 8,
} as const
export type Dtype = keyof typeof dtypeBytes

interface TensorEntry {
  readonly name: string
  readonly dtype: Dtype
  readonly shape: readonly number[]
  /** Bytes from the start of the file. */
  readonly offset: number
  /** Bytes. */
  readonly length: number
}

export interface SafetensorsFile {
  readonly path: string
  readonly tensors: ReadonlyMap<string, TensorEntry>
  readonly metadata: Readonly<Record<string, string>>
}

/** What is written: float32, or bytes. */
type Written = Float32Array | Uint8Array

/** A tensor to write, row-major; `data` may be a function, so that one tensor at a time is in memory. */
export interface TensorSource {
  readonly name: string
  /** F32 unless given. */
  readonly dtype?: 'F32' | 'U8'
  readonly shape: readonly number[]
  readonly data: Written | (() => Promise<Written>)
}

/** A file that breaks its format. Whoever reads it says what it is for, and turns this into a failure of that. */
export class FileFormatError extends Error {
  constructor(path: string, reason: string) {
    super(`${path}: ${reason}`)
    this.name = 'FileFormatError'
  }
}

/** What the reference implementation allows too; a larger size is a file of another kind. */
const maxHeaderBytes = 100_000_000
/** Reads of more than 2 GiB fail; smaller ones cost nothing. */
const chunkBytes = 64 * 1024 * 1024
/** The tensors start on a page, which is what mapping them as external data of an ONNX model wants. */
const dataAlignment = 4096

/** Reads and checks the header; no tensor. Throws FileFormatError, or the system's error when the file is not there. */
export async function readSafetensorsHeader(path: string): Promise<SafetensorsFile> {
  const handle = await open(path, 'r')
  try {
    const { size } = await handle.stat()
    const prefix = await readBytes(handle, 0, Math.min(8, size))
    const headerBytes = headerSize(path, prefix, size)
    const text = Buffer.from(await readBytes(handle, 8, headerBytes)).toString('utf8')
    return parseHeader(path, text, 8 + headerBytes, size)
  } finally {
    await handle.close()
  }
}

function headerSize(path: string, prefix: Uint8Array, size: number): number {
  if (prefix.length < 8) throw new FileFormatError(path, `expected at least 8 bytes, got ${size}`)
  const bytes = new DataView(prefix.buffer, prefix.byteOffset).getBigUint64(0, true)
  if (bytes > BigInt(Math.min(maxHeaderBytes, size - 8))) {
    throw new FileFormatError(path, `the header is said to have ${bytes} bytes, and the file has ${size} in all`)
  }
  return Number(bytes)
}

function parseHeader(path: string, text: string, dataStart: number, size: number): SafetensorsFile {
  const { __metadata__: metadata = {}, ...entries } = parseObject(path, 'header', parseJson(path, text))
  const tensors = Object.entries(entries).map(([name, entry]) => parseEntry(path, name, entry, dataStart))
  checkLayout(path, tensors, dataStart, size)
  return {
    path,
    tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])),
    metadata: parseMetadata(path, metadata),
  }
}

function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new FileFormatError(path, `the header is not JSON: ${error instanceof Error ? error.message : error}`)
  }
}

function parseObject(path: string, what: string, value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw new FileFormatError(path, `${what}: expected an object, got ${JSON.stringify(value)}`)
}

function parseMetadata(path: string, value: unknown): Record<string, string> {
  const metadata = parseObject(path, '__metadata__', value)
  for (const [key, text] of Object.entries(metadata)) {
    if (typeof text !== 'string') throw new FileFormatError(path, `__metadata__.${key}: expected a string`)
  }
  return metadata as Record<string, string>
}

function parseEntry(path: string, name: string, value: unknown, dataStart: number): TensorEntry {
  const { dtype, shape, data_offsets: offsets } = parseObject(path, `tensor '${name}'`, value)
  const wrong = (field: string, expected: string, got: unknown) =>
    new FileFormatError(path, `tensor '${name}': expected ${field} to be ${expected}, got ${JSON.stringify(got)}`)
  if (!isDtype(dtype)) throw wrong('dtype', `one of ${Object.keys(dtypeBytes).join(', ')}`, dtype)
  if (!isCounts(shape)) throw wrong('shape', 'a list of whole numbers', shape)
  if (!isCounts(offsets) || offsets.length !== 2) throw wrong('data_offsets', 'two whole numbers', offsets)
  const [begin = 0, end = 0] = offsets
  const length = elementCount(shape) * dtypeBytes[dtype]
  if (end - begin !== length) throw wrong('data_offsets', `${length} bytes apart for ${dtype} [${shape}]`, offsets)
  return { name, dtype, shape, offset: dataStart + begin, length }
}

function isDtype(value: unknown): value is Dtype {
  return typeof value === 'string' && Object.hasOwn(dtypeBytes, value)
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0)
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((count, size) => count * size, 1)
}

/** The tensors must tile the data section: no hole, no overlap, nothing after the last. */
function checkLayout(path: string, tensors: readonly TensorEntry[], dataStart: number, size: number): void {
  let expected = dataStart
  for (const { name, offset, length } of [...tensors].sort((a, b) => a.offset - b.offset || a.length - b.length)) {
    if (offset !== expected) {
      const fault = offset < expected ? 'overlaps the tensor before it' : 'leaves a hole before it'
      throw new FileFormatError(path, `tensor '${name}' ${fault}: expected offset ${expected}, got ${offset}`)
    }
    expected = offset + length
  }
  if (expected !== size) throw new FileFormatError(path, `expected ${expected} bytes in all, got ${size}`)
}

/** How each floating dtype becomes float32. */
const toFloat32: { readonly [D in Dtype]?: (bytes: ArrayBuffer) => Float32Array } = {
  F32: (bytes) => new Float32Array(bytes),
  F16: (bytes) => float32FromFloat16(new Uint16Array(bytes)),
  BF16: (bytes) => float32FromBfloat16(new Uint16Array(bytes)),
  F64: (bytes) => Float32Array.from(new Float64Array(bytes)),
}

export function isFloat(dtype: Dtype): boolean {
  return dtype in toFloat32
}

/** Little-endian values of a floating dtype as float32; may share the memory. */
export function float32From(dtype: Dtype, bytes: ArrayBuffer): Float32Array {
  const convert = toFloat32[dtype]
  if (!convert) throw new TypeError(`expected a floating dtype, got ${dtype}`)
  return convert(bytes)
}

/** Reads one tensor as float32, row-major, whatever floating dtype it is stored in. */
export async function readTensor(file: SafetensorsFile, name: string): Promise<Float32Array> {
  const entry = file.tensors.get(name)
  if (!entry) throw new FileFormatError(file.path, `there is no tensor '${name}'`)
  if (!isFloat(entry.dtype)) {
    throw new FileFormatError(file.path, `tensor '${name}': expected a floating dtype, got ${entry.dtype}`)
  }
  const handle = await open(file.path, 'r')
  try {
    return float32From(entry.dtype, (await readBytes(handle, entry.offset, entry.length)).buffer)
  } finally {
    await handle.close()
  }
}

/** The bytes of one tensor as they are stored. */
export async function readTensorBytes(file: SafetensorsFile, name: string): Promise<Uint8Array<ArrayBuffer>> {
  const entry = file.tensors.get(name)
  if (!entry) throw new FileFormatError(file.path, `there is no tensor '${name}'`)
  const handle = await open(file.path, 'r')
  try {
    return await readBytes(handle, entry.offset, entry.length)
  } finally {
    await handle.close()
  }
}

/** Bytes of a file; throws when it ends before. */
export async function readBytes(
  handle: FileHandle,
  position: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length)
  for (let done = 0; done < length; ) {
    const want = Math.min(chunkBytes, length - done)
    const { bytesRead } = await handle.read(bytes, done, want, position + done)
    if (bytesRead === 0) throw new RangeError(`expected ${length} bytes at ${position}, got ${done}`)
    done += bytesRead
  }
  return bytes
}

/** Writes tensors in the order given, atomically; readers see the old file or the whole new one. */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<TensorSource>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const sources = [...tensors]
  await publishFile(path, async (handle) => {
    await writeAll(handle, encodeHeader(sources, metadata))
    for (const source of sources) await writeAll(handle, await tensorBytes(source))
  })
}

function encodeHeader(sources: readonly TensorSource[], metadata: Readonly<Record<string, string>>): Uint8Array {
  // Without a prototype, for a tensor may be called `__proto__`.
  const header: Record<string, unknown> = Object.assign(Object.create(null), { __metadata__: metadata })
  let end = 0
  for (const { name, dtype = 'F32', shape } of sources) {
    if (Object.hasOwn(header, name)) throw new RangeError(`expected distinct tensor names, got '${name}' twice`)
    const begin = end
    end += elementCount(shape) * dtypeBytes[dtype]
    header[name] = { dtype, shape, data_offsets: [begin, end] }
  }
  const json = Buffer.from(JSON.stringify(header))
  // The format allows spaces after the JSON.
  const padded = Math.ceil((8 + json.length) / dataAlignment) * dataAlignment - 8
  const bytes = Buffer.alloc(8 + padded, ' ')
  bytes.writeBigUInt64LE(BigInt(padded), 0)
  json.copy(bytes, 8)
  return bytes
}

async function tensorBytes({ name, dtype = 'F32', shape, data }: TensorSource): Promise<Uint8Array> {
  const values = typeof data === 'function' ? await data() : data
  if (values.length !== elementCount(shape) || values.BYTES_PER_ELEMENT !== dtypeBytes[dtype]) {
    throw new RangeError(
      `tensor '${name}': expected ${elementCount(shape)} values for ${dtype} [${shape}], got ${values.length} of ${values.BYTES_PER_ELEMENT} bytes`,
    )
  }
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await handle.write(bytes, done, Math.min(chunkBytes, bytes.length - done))).bytesWritten
  }
}
