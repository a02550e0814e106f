/** Files of torch.save: the tensors are those of torch, nothing is run, and what is broken or more than tensors is named. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { PickleError, unpickle } from '../../src/dylora/pickle.ts'
import { FileFormatError } from '../../src/dylora/safetensors.ts'
import { readTensorFile } from '../../src/dylora/tensor-file.ts'
import { fixturePath, readAll } from '../fixtures/golden.ts'
import { readZip, writeZip, type ZipEntries } from '../fixtures/torch-files.ts'

const original = fixturePath('loralib', 'q-and-v.pt')
const expected = await readAll('loralib', 'q-and-v.safetensors')

async function readValues(path: string): Promise<Map<string, Float32Array>> {
  const values = new Map<string, Float32Array>()
  for (const [name, tensor] of await readTensorFile(path)) values.set(name, await tensor.read())
  return values
}

/** The original with other entries; names are without the archive's own. */
async function edited(t: { testdir(): string }, edit: (entries: ZipEntries) => void): Promise<string> {
  const entries: ZipEntries = new Map()
  for (const [name, entry] of await readZip(original)) entries.set(name.replace('q-and-v/', ''), entry)
  edit(entries)
  const path = join(t.testdir(), 'edited.pt')
  writeZip(path, new Map([...entries].map(([name, entry]) => [`any/${name}`, entry])))
  return path
}

const editPickle = (edit: (pickle: string) => string) => (entries: ZipEntries) => {
  const text = Buffer.from(entries.get('data.pkl')?.data ?? []).toString('latin1')
  entries.set('data.pkl', { data: Buffer.from(edit(text), 'latin1') })
}

for (const name of ['q-and-v.pt', 'q-and-v-views.bin']) {
  t.test(`${name} holds the values that torch saved`, async (t) => {
    const values = await readValues(fixturePath('loralib', name))
    t.strictSame([...values.keys()].sort(), [...expected.keys()].sort())
    for (const [key, value] of expected) t.strictSame(values.get(key), value, key)
  })
}

t.test('compressed entries and any name of the archive are read alike', async (t) => {
  const path = await edited(t, (entries) => {
    for (const [name, entry] of entries) entries.set(name, { ...entry, deflate: true })
  })
  const values = await readValues(path)
  for (const [key, value] of expected) t.strictSame(values.get(key), value, key)
})

t.test('half precision and integers have their dtypes; what is no tensor is passed over', async (t) => {
  const tensors = await readTensorFile(fixturePath('loralib', 'whole.ckpt'))
  const mask = tensors.get('module.transformer.h.0.attn.bias')
  t.match(mask, { dtype: 'U8', isFloat: false })
  t.match(tensors.get('module.transformer.wte.weight'), { dtype: 'F16', isFloat: true, shape: [300, 32] })
  t.notOk(tensors.has('epoch'))
  const bfloat16 = await readTensorFile(fixturePath('loralib', 'q-and-v-bfloat16.pt'))
  for (const [key, value] of expected) {
    const rounded = (await bfloat16.get(key)?.read()) ?? new Float32Array()
    t.ok(
      rounded.every((x, i) => Math.abs(x - (value[i] ?? 0)) <= 2 ** -8 * Math.abs(value[i] ?? 0)),
      key,
    )
  }
})

const refused: Readonly<Record<string, { edit: (entries: ZipEntries) => void; message: RegExp }>> = {
  'no data.pkl': { edit: (entries) => entries.delete('data.pkl'), message: /zip archive without data\.pkl/ },
  'no storage': { edit: (entries) => entries.delete('data/0'), message: /lies in storage 0, which is missing/ },
  'a short storage': {
    edit: (entries) => entries.set('data/0', { data: new Uint8Array(8) }),
    message: /expects a storage of 1024 bytes, and 0 has 8/,
  },
  'a tensor outside its storage': {
    edit: editPickle((text) => text.replace('QK\x00', 'QK\x01')),
    message: /a tensor \[8,32\] reaches past the 256 elements of storage 0/,
  },
  'a tensor that repeats its storage': {
    edit: editPickle((text) =>
      text.replace('K\x20K\x01\x86', 'K\x00K\x00\x86').replace('K\x08K\x20\x86', 'K\xffK\xff\x86'),
    ),
    message: /a tensor \[255,255\] repeats the 256 elements/,
  },
  'a negative stride': {
    edit: editPickle((text) => text.replace('K\x20K\x01\x86', 'J\xff\xff\xff\xffK\x01\x86')),
    message: /something else than whole numbers/,
  },
  'a call that is not for tensors': {
    edit: editPickle(() => '\x80\x02cposix\nsystem\nX\x08\x00\x00\x00touch pwn\x85R.'),
    message: /data\.pkl: it asks for posix\.system, which a state dict of tensors does not need; nothing of it was run/,
  },
  'an object of a class': {
    edit: editPickle(() => '\x80\x02cargparse\nNamespace\n)\x81.'),
    message: /it asks for argparse\.Namespace/,
  },
  'an opcode of another kind': { edit: editPickle(() => '\x80\x02)\x81.'), message: /opcode 0x81 at byte 3/ },
  'a pickle that ends early': { edit: editPickle((text) => text.slice(0, 99)), message: /it ends at byte 99/ },
  'no dictionary': { edit: editPickle(() => '\x80\x02K\x01.'), message: /expected a state dict/ },
  'a dictionary without tensors': { edit: editPickle(() => '\x80\x02}.'), message: /there are no tensors by name/ },
  'a pickle of two gigabytes': {
    edit: (entries) => entries.set('data.pkl', { data: new Uint8Array(9), deflate: true, size: 2 ** 31 }),
    message: /data\.pkl has 2147483648 bytes, more than the 67108864 that are read/,
  },
  'storages that unpack to two gigabytes': {
    edit: (entries) => {
      for (const name of ['data/0', 'data/1'])
        entries.set(name, { data: new Uint8Array(9), deflate: true, size: 2 ** 30 })
    },
    message: /its entries unpack to 2147483648 bytes, more than the 1073741824 that are read/,
  },
  'a pickle that unpacks to more than it says': {
    edit: (entries) => entries.set('data.pkl', { data: new Uint8Array(1e6), deflate: true, size: 10 }),
    message: /too many bytes in the stream/,
  },
  'a program': { edit: (entries) => entries.set('constants.pkl', { data: new Uint8Array() }), message: /TorchScript/ },
  'another byte order': {
    edit: (entries) => entries.set('byteorder', { data: Buffer.from('big') }),
    message: /expected the byte order little/,
  },
}

for (const [what, { edit, message }] of Object.entries(refused)) {
  t.test(`${what}: refused with a reason`, async (t) => {
    const path = await edited(t, edit)
    await t.rejects(readTensorFile(path), { name: 'FileFormatError', message })
    t.notOk(existsSync('pwn'))
  })
}

t.test('files of other kinds are refused with a reason', async (t) => {
  const directory = t.testdir({ empty: '', text: 'some words that are no header at all' })
  const write = (name: string, content: Uint8Array) => {
    writeFileSync(join(directory, name), content)
    return join(directory, name)
  }
  const whole = readFileSync(original)
  const legacy = Buffer.from('8002 8a0a 6cfc 9c46 f920 6aa8 5019 2e80'.replaceAll(' ', ''), 'hex')
  const cases = [
    [write('truncated', whole.subarray(0, 3000)), /truncated/],
    [write('legacy', legacy), /bare pickle, as torch wrote before 1\.6/],
    [join(directory, 'empty'), /at least 8 bytes/],
    [join(directory, 'text'), /the header is said to have/],
  ] as const
  for (const [path, message] of cases) await t.rejects(readTensorFile(path), { name: 'FileFormatError', message })
})

t.test('whatever byte is spoiled, the file is refused or holds the same', async (t) => {
  const whole = readFileSync(original)
  const path = join(t.testdir(), 'spoiled.pt')
  const outcomes = { same: 0, refused: 0 }
  const spoil = async (position: number, value: number) => {
    const bytes = Buffer.from(whole)
    bytes[position] = (bytes[position] ?? 0) ^ value
    writeFileSync(path, bytes)
    try {
      t.strictSame(await readValues(path), expected)
      outcomes.same++
    } catch (error) {
      if (!(error instanceof FileFormatError)) throw error
      outcomes.refused++
    }
  }
  await fc.assert(fc.asyncProperty(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), spoil), { numRuns: 300 })
  t.ok(outcomes.refused > 50 && outcomes.same > 20, JSON.stringify(outcomes))
})

t.test('whatever a pickle is made of, reading it ends with a value or a reason', async (t) => {
  const world = { globals: new Map([['a.b', () => new Map()]]), persistent: (id: unknown) => id }
  const codes = [...'(0NJKMGX]ae)t}suqrhjcRbQ.'].map((letter) => letter.charCodeAt(0))
  const byte = fc.oneof(fc.constantFrom(...codes, 0x85, 0x86, 0x87, 0x88, 0x8a, 0x8c, 0x93, 0x94), fc.nat(255))
  const pickles = fc.array(byte, { minLength: 1, maxLength: 60 }).map((bytes) => Uint8Array.from([...bytes, 0x2e]))
  fc.assert(
    fc.property(pickles, (bytes) => {
      try {
        unpickle(bytes, world)
      } catch (error) {
        if (!(error instanceof PickleError)) throw error
      }
    }),
    { numRuns: 5000 },
  )
  const value = (text: string) => unpickle(Buffer.from(text, 'latin1'), world)
  t.strictSame(value('\x80\x02(K\x01J\xff\xff\xff\xffM\x00\x01\x8a\x02\x00\x80N\x88\x89t.'), [
    1,
    -1,
    256,
    -32768,
    null,
    true,
    false,
  ])
  t.strictSame(
    value('\x80\x04}\x94\x8c\x01x\x94]\x94(h\x01G\x3f\xf8\x00\x00\x00\x00\x00\x00es.'),
    new Map([['x', ['x', 1.5]]]),
  )
  t.strictSame(value('\x80\x02ca\nb\n)R}b.'), new Map())
})
