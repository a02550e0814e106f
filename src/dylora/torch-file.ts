/**
 * The file that `torch.save` writes (since 1.6): a zip archive with `data.pkl`, a pickle that lays tensors over storages,
 * and one entry `data/<key>` for each storage. Read without running any of it.
 */
import { basename } from 'node:path'
import { crc32 } from 'node:zlib'
import { type Entry, openPromise, type ZipFile } from 'yauzl'
import { type PickleCall, PickleError, unpickle } from './pickle.ts'
import { type Dtype, dtypeBytes, elementCount, FileFormatError, float32From, isFloat } from './safetensors.ts'
import type { StoredTensor, StoredTensors } from './stored-tensors.ts'

/** More than a state dict of tens of thousands of tensors takes. */
const maxPickleBytes = 64 * 1024 * 1024
/** What compressed entries may unpack to in all; torch itself does not compress. */
const maxUnpackedBytes = 1024 * 1024 * 1024

/** torch's names of typed storages. */
const storageDtypes: Readonly<Record<string, Dtype>> = {
  FloatStorage: 'F32',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  DoubleStorage: 'F64',
  LongStorage: 'I64',
  IntStorage: 'I32',
  ShortStorage: 'I16',
  CharStorage: 'I8',
  ByteStorage: 'U8',
  BoolStorage: 'BOOL',
}

class StorageType {
  readonly dtype: Dtype
  constructor(dtype: Dtype) {
    this.dtype = dtype
  }
}

class Storage {
  readonly dtype: Dtype
  readonly key: string
  /** In elements. */
  readonly length: number
  constructor(dtype: Dtype, key: string, length: number) {
    this.dtype = dtype
    this.key = key
    this.length = length
  }
}

/** A view of a storage; offset and strides in elements. */
class View {
  readonly storage: Storage
  readonly offset: number
  readonly shape: readonly number[]
  readonly strides: readonly number[]
  constructor(storage: Storage, offset: number, shape: readonly number[], strides: readonly number[]) {
    this.storage = storage
    this.offset = offset
    this.shape = shape
    this.strides = strides
  }
}

/** All that a state dict calls for. */
const globals = new Map<string, unknown>([
  ['collections.OrderedDict', (() => new Map()) satisfies PickleCall],
  ['torch._utils._rebuild_tensor_v2', rebuildTensor],
  ['torch._utils._rebuild_parameter', ((args) => args[0]) satisfies PickleCall],
  ...Object.entries(storageDtypes).map(([name, dtype]) => [`torch.${name}`, new StorageType(dtype)] as const),
])

function rebuildTensor([storage, offset, shape, strides]: readonly unknown[]): View {
  if (!(storage instanceof Storage)) throw new PickleError('it lays a tensor over what is no storage')
  if (!isCount(offset) || !isCounts(shape) || !isCounts(strides) || shape.length !== strides.length) {
    throw new PickleError('it lays out a tensor by something else than whole numbers')
  }
  const last = shape.reduce((sum, size, i) => sum + (size - 1) * (strides[i] ?? 0), offset)
  const count = elementCount(shape)
  if (count > 0 && last >= storage.length) {
    throw new PickleError(`a tensor [${shape}] reaches past the ${storage.length} elements of storage ${storage.key}`)
  }
  if (count > storage.length) {
    throw new PickleError(`a tensor [${shape}] repeats the ${storage.length} elements of storage ${storage.key}`)
  }
  return new View(storage, offset, shape, strides)
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0
const isCounts = (value: unknown): value is number[] => Array.isArray(value) && value.every(isCount)

/** `('storage', type, key, device, length)` */
function storageOf(id: unknown): Storage {
  const [kind, type, key, , length] = Array.isArray(id) ? id : []
  if (kind !== 'storage' || !(type instanceof StorageType) || typeof key !== 'string' || !isCount(length)) {
    throw new PickleError('it refers to something else than a storage')
  }
  return new Storage(type.dtype, key, length)
}

/**
 * The tensors of a state dict: flat, or under one of the keys that training scripts use. Throws FileFormatError where the
 * archive or the pickle is broken, or the pickle asks for anything that a state dict does not need.
 */
export async function readTorchFile(path: string): Promise<StoredTensors> {
  return withZip(path, async (zip) => {
    const archive = await readArchive(path, zip)
    const pickle = await readEntry(path, zip, archive.pickle)
    const tensors = new Map<string, StoredTensor>()
    for (const [name, view] of viewsOf(path, pickle)) {
      const entry = archive.storages.get(view.storage.key)
      tensors.set(name, storedTensor(path, name, view, entry))
    }
    return tensors
  })
}

async function withZip<T>(path: string, use: (zip: ZipFile) => Promise<T>): Promise<T> {
  const zip = await asFormatError(path, () => openPromise(path, { lazyEntries: true, autoClose: false }))
  try {
    return await asFormatError(path, () => use(zip))
  } finally {
    zip.close()
  }
}

/** The zip library's errors are plain ones; those of the system pass, and so do bugs. */
async function asFormatError<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    if (!(error instanceof Error) || error instanceof FileFormatError || 'syscall' in error) throw error
    const outside = 'code' in error && error.code === 'ERR_OUT_OF_RANGE'
    if (!outside && (error instanceof TypeError || error instanceof RangeError)) throw error
    throw new FileFormatError(path, outside ? 'its directory points outside the file' : error.message)
  }
}

interface Archive {
  readonly pickle: Entry
  readonly storages: ReadonlyMap<string, Entry>
}

/** Every name starts with the archive's own, whatever it is: `checkpoint/data.pkl`. */
async function readArchive(path: string, zip: ZipFile): Promise<Archive> {
  const entries = new Map<string, Entry>()
  for await (const entry of zip.eachEntry()) entries.set(entry.fileName.replace(/^[^/]*\//, ''), entry)
  const fail = (reason: string) => new FileFormatError(path, reason)
  const pickle = entries.get('data.pkl')
  if (!pickle) throw fail('it is a zip archive without data.pkl, so not one of torch.save')
  if (entries.has('constants.pkl')) throw fail('it is a TorchScript program: save its state_dict()')
  checkSizes([...entries.values()], pickle, fail)
  const order = entries.get('byteorder')
  if (order && Buffer.from(await readEntry(path, zip, order)).toString('latin1') !== 'little') {
    throw fail('expected the byte order little')
  }
  const storages = [...entries].filter(([name]) => name.startsWith('data/'))
  return { pickle, storages: new Map(storages.map(([name, entry]) => [name.slice('data/'.length), entry])) }
}

/** Small files must not unpack to large ones; what is stored as it is, is bounded by the file itself. */
function checkSizes(entries: readonly Entry[], pickle: Entry, fail: (reason: string) => Error): void {
  if (pickle.uncompressedSize > maxPickleBytes) {
    throw fail(`data.pkl has ${pickle.uncompressedSize} bytes, more than the ${maxPickleBytes} that are read`)
  }
  const unpacked = entries.reduce((sum, entry) => sum + (entry.compressionMethod === 0 ? 0 : entry.uncompressedSize), 0)
  if (unpacked > maxUnpackedBytes) {
    throw fail(`its entries unpack to ${unpacked} bytes, more than the ${maxUnpackedBytes} that are read`)
  }
}

/** Checked against its size and its CRC-32. */
async function readEntry(path: string, zip: ZipFile, entry: Entry): Promise<Uint8Array<ArrayBuffer>> {
  const fail = (reason: string) => new FileFormatError(path, `entry '${basename(entry.fileName)}' ${reason}`)
  const { uncompressedSize: size, compressionMethod } = entry
  if (compressionMethod !== 0 && compressionMethod !== 8) throw fail(`is packed by method ${compressionMethod}`)
  if (compressionMethod === 0 && size > zip.fileSize) throw fail(`has ${size} bytes, more than the file`)
  const bytes = new Uint8Array(size)
  let done = 0
  for await (const chunk of await zip.openReadStreamPromise(entry)) {
    bytes.set(chunk, done)
    done += chunk.length
  }
  if (done !== size) throw fail(`has ${done} bytes instead of ${size}`)
  if (crc32(bytes) !== entry.crc32) throw fail('does not match its checksum')
  return bytes
}

/** By name; what is no tensor (step counts, learning rates) is passed over. */
function viewsOf(path: string, pickle: Uint8Array): Map<string, View> {
  const state = unwrap(readPickle(path, pickle))
  const views = new Map<string, View>()
  if (state instanceof Map) {
    for (const [name, value] of state) if (typeof name === 'string' && value instanceof View) views.set(name, value)
  }
  if (views.size === 0) throw new FileFormatError(path, 'expected a state dict, and there are no tensors by name in it')
  return views
}

function readPickle(path: string, pickle: Uint8Array): unknown {
  try {
    return unpickle(pickle, { globals, persistent: storageOf })
  } catch (error) {
    throw error instanceof PickleError ? new FileFormatError(path, `data.pkl: ${error.message}`) : error
  }
}

function unwrap(value: unknown): unknown {
  if (!(value instanceof Map)) return value
  return value.get('model_state_dict') ?? value.get('state_dict') ?? value
}

function storedTensor(path: string, name: string, view: View, entry: Entry | undefined): StoredTensor {
  const { storage, shape } = view
  const fail = (reason: string) => new FileFormatError(path, `tensor '${name}' ${reason}`)
  if (!entry) throw fail(`lies in storage ${storage.key}, which is missing`)
  const bytes = storage.length * dtypeBytes[storage.dtype]
  if (entry.uncompressedSize !== bytes) {
    throw fail(`expects a storage of ${bytes} bytes, and ${storage.key} has ${entry.uncompressedSize}`)
  }
  const read = () => withZip(path, async (zip) => gather(await readEntry(path, zip, entry), view))
  return { shape, dtype: storage.dtype, isFloat: isFloat(storage.dtype), read }
}

/** The elements of a view in row-major order, as float32. */
function gather(bytes: Uint8Array<ArrayBuffer>, { storage, offset, shape, strides }: View): Float32Array {
  const count = elementCount(shape)
  const last = shape.reduce((sum, size, i) => sum + (size - 1) * (strides[i] ?? 0), 0)
  const width = dtypeBytes[storage.dtype]
  const values = float32From(storage.dtype, bytes.buffer.slice(offset * width, (offset + (count && last + 1)) * width))
  if (isContiguous(shape, strides)) return values
  const result = new Float32Array(count)
  const index = shape.map(() => 0)
  for (let i = 0, at = 0; i < count; i++) {
    result[i] = values[at] ?? 0
    at += advance(index, shape, strides)
  }
  return result
}

function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== expected) return false
    expected *= shape[i] ?? 1
  }
  return true
}

/** Counts the index up, last dimension fastest; returns how far that moves in the storage. */
function advance(index: number[], shape: readonly number[], strides: readonly number[]): number {
  let moved = 0
  for (let d = shape.length - 1; d >= 0; d--) {
    const next = (index[d] ?? 0) + 1
    const stride = strides[d] ?? 0
    if (next < (shape[d] ?? 0)) {
      index[d] = next
      return moved + stride
    }
    moved -= (next - 1) * stride
    index[d] = 0
  }
  return moved
}
