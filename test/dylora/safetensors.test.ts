/** The safetensors format: what is written, and what is refused. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { bfloat16FromFloat32, float16FromFloat32 } from '../../src/dylora/float16.ts'
import {
  elementCount,
  FileFormatError,
  readSafetensorsHeader,
  readTensor,
  writeSafetensors,
} from '../../src/dylora/safetensors.ts'

/** A file with this header, as it stands, and this many bytes of data. */
function fileOf(t: Tap, header: unknown, data: Uint8Array = new Uint8Array(0)): string {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(json.length))
  const path = join(t.testdir(), 'x.safetensors')
  writeFileSync(path, Buffer.concat([size, json, data]))
  return path
}
type Tap = { testdir(): string }

t.test('what is written is read back', async (t) => {
  const shape = fc.array(fc.nat(4), { maxLength: 3 })
  const names = fc.uniqueArray(
    fc.string({ minLength: 1, maxLength: 8 }).filter((name) => name !== '__metadata__'),
    {
      maxLength: 5,
    },
  )
  const path = join(t.testdir(), 'x.safetensors')
  const roundTrip = async (list: string[], shapes: number[][], metadata: Record<string, string>) => {
    const tensors = list.map((name, i) => {
      const dims = shapes[i % shapes.length] ?? []
      return { name, shape: dims, data: Float32Array.from({ length: elementCount(dims) }, (_, j) => i - j / 3) }
    })
    await writeSafetensors(path, tensors, metadata)
    const file = await readSafetensorsHeader(path)
    t.strictSame([...file.tensors.keys()].sort(), [...list].sort())
    t.strictSame(file.metadata, metadata)
    for (const { name, shape, data } of tensors) {
      t.strictSame(file.tensors.get(name)?.shape, shape)
      t.strictSame(await readTensor(file, name), data)
    }
  }
  const metadata = fc.dictionary(fc.stringMatching(/^[a-z]{1,5}$/), fc.string(), { noNullPrototype: true })
  await fc.assert(fc.asyncProperty(names, fc.array(shape, { minLength: 1 }), metadata, roundTrip), { numRuns: 30 })
})

t.test('tensors start on a page, in the order given, and may come lazily', async (t) => {
  const path = join(t.testdir(), 'x.safetensors')
  await writeSafetensors(path, [
    { name: 'b', shape: [3], data: Float32Array.of(1, 2, 3) },
    { name: 'a', shape: [], data: async () => Float32Array.of(4) },
  ])
  const { tensors } = await readSafetensorsHeader(path)
  t.equal(tensors.get('b')?.offset, 4096)
  t.equal(tensors.get('a')?.offset, 4096 + 12)
})

t.test('writing is all or nothing', async (t) => {
  const path = join(t.testdir({ 'x.safetensors': 'old' }), 'x.safetensors')
  const broken = [{ name: 'a', shape: [2], data: Float32Array.of(1) }]
  await t.rejects(writeSafetensors(path, broken), {
    message: "tensor 'a': expected 2 values for F32 [2], got 1 of 4 bytes",
  })
  t.equal(readFileSync(path, 'utf8'), 'old')
  const twice = [0, 1].map(() => ({ name: 'a', shape: [1], data: Float32Array.of(1) }))
  await t.rejects(writeSafetensors(path, twice), { message: "expected distinct tensor names, got 'a' twice" })
})

t.test('half precisions and float64 are read as float32', async (t) => {
  const values = Float32Array.of(1.5, -2, 0.25, 1024)
  const stored = {
    F16: float16FromFloat32(values),
    BF16: bfloat16FromFloat32(values),
    F64: Float64Array.from(values),
    F32: values,
  }
  for (const [dtype, { buffer, byteLength }] of Object.entries(stored)) {
    const path = fileOf(t, { x: { dtype, shape: [2, 2], data_offsets: [0, byteLength] } }, new Uint8Array(buffer))
    t.strictSame(await readTensor(await readSafetensorsHeader(path), 'x'), values, dtype)
  }
})

t.test('what is no float is not read as one, and what is not there is named', async (t) => {
  const path = fileOf(t, { x: { dtype: 'I32', shape: [1], data_offsets: [0, 4] } }, new Uint8Array(4))
  const file = await readSafetensorsHeader(path)
  await t.rejects(readTensor(file, 'x'), { message: /'x': expected a floating dtype, got I32/ })
  await t.rejects(readTensor(file, 'y'), { message: /there is no tensor 'y'/ })
})

const f32 = (begin: number, end: number) => ({ dtype: 'F32', shape: [(end - begin) / 4], data_offsets: [begin, end] })
const broken: Readonly<Record<string, { header: unknown; bytes?: number; reason: RegExp }>> = {
  'a header that is not JSON': { header: '{"x": ', reason: /the header is not JSON/ },
  'a header that is a list': { header: [], reason: /header: expected an object, got \[\]/ },
  'a tensor that is no object': { header: { x: 3 }, reason: /tensor 'x': expected an object, got 3/ },
  'metadata that is no text': { header: { __metadata__: { a: 1 } }, reason: /__metadata__\.a: expected a string/ },
  'an unknown dtype': {
    header: { x: { dtype: 'F12', shape: [1], data_offsets: [0, 4] } },
    bytes: 4,
    reason: /tensor 'x': expected dtype to be one of BOOL, .*, got "F12"/,
  },
  'a negative size': {
    header: { x: { dtype: 'F32', shape: [-1], data_offsets: [0, 4] } },
    bytes: 4,
    reason: /tensor 'x': expected shape to be a list of whole numbers, got \[-1\]/,
  },
  'three offsets': {
    header: { x: { dtype: 'F32', shape: [1], data_offsets: [0, 4, 8] } },
    bytes: 4,
    reason: /expected data_offsets to be two whole numbers/,
  },
  'a shape that its bytes do not hold': {
    header: { x: { dtype: 'F32', shape: [3], data_offsets: [0, 4] } },
    bytes: 4,
    reason: /expected data_offsets to be 12 bytes apart for F32 \[3\], got \[0,4\]/,
  },
  'a hole': {
    header: { x: f32(0, 4), y: f32(8, 12) },
    bytes: 12,
    reason: /tensor 'y' leaves a hole before it: expected offset \d+, got \d+/,
  },
  'an overlap': {
    header: { x: f32(0, 8), y: f32(4, 12) },
    bytes: 12,
    reason: /tensor 'y' overlaps the tensor before it/,
  },
  'bytes after the last tensor': { header: { x: f32(0, 4) }, bytes: 5, reason: /expected \d+ bytes in all, got \d+/ },
  'a truncated tensor': { header: { x: f32(0, 8) }, bytes: 7, reason: /expected \d+ bytes in all, got \d+/ },
}

for (const [what, { header, bytes = 0, reason }] of Object.entries(broken)) {
  t.test(`${what} is refused`, async (t) => {
    const path = fileOf(t, header, new Uint8Array(bytes))
    const error = await readSafetensorsHeader(path).catch((reason: unknown) => reason)
    t.type(error, FileFormatError)
    t.match(error, { message: reason })
  })
}

t.test('a file too short for its header is refused', async (t) => {
  const path = join(t.testdir({ 'x.safetensors': 'abc' }), 'x.safetensors')
  await t.rejects(readSafetensorsHeader(path), { message: /expected at least 8 bytes, got 3/ })
  writeFileSync(path, Buffer.alloc(16, 0xff))
  await t.rejects(readSafetensorsHeader(path), { message: /the header is said to have \d+ bytes, and the file has 16/ })
})

t.test(
  'whatever byte of the header is spoiled, the file is refused as malformed or still one that adds up',
  async (t) => {
    const path = join(t.testdir(), 'x.safetensors')
    await writeSafetensors(path, [
      { name: 'a', shape: [2, 3], data: new Float32Array(6) },
      { name: 'b', shape: [1], data: new Float32Array(1) },
    ])
    const bytes = readFileSync(path)
    const spoil = async (place: number, value: number) => {
      const spoiled = Buffer.from(bytes)
      spoiled[place] = value
      writeFileSync(path, spoiled)
      const outcome = await readSafetensorsHeader(path).catch((error: unknown) => error)
      if (outcome instanceof Error) t.type(outcome, FileFormatError)
    }
    await fc.assert(fc.asyncProperty(fc.nat(200), fc.nat(255), spoil), { numRuns: 500 })
  },
)
