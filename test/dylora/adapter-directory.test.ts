/** Adapter directories: written and read again, published whole, and refused with a reason when they are broken. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { type Adapter, type QualityPoint, truncate } from '../../src/dylora/adapter.ts'
import {
  type AdapterContent,
  checkAgainstBase,
  exportAdapter,
  readAdapter,
  writeAdapter,
} from '../../src/dylora/adapter-directory.ts'
import { importCheckpoint } from '../../src/dylora/import.ts'
import { readSafetensorsHeader, readTensor, type TensorSource, writeSafetensors } from '../../src/dylora/safetensors.ts'
import { randomAdapter } from '../fixtures/adapters.ts'
import { fixturePath } from '../fixtures/golden.ts'

const root = t.testdir()
const { base } = await importCheckpoint(fixturePath('gpt2'), join(root, 'base'))
const point: QualityPoint = {
  rank: 1,
  dataset: 'e2e',
  split: 'validation',
  metric: 'bleu',
  value: 60,
  ci95: [59, 61],
  n: 547,
  higherIsBetter: true,
  primary: true,
}
const full = randomAdapter(1, 4, {
  baseDigest: base.digest,
  prompt: { prefix: [0, 3], suffix: [5] },
  quality: [point, { ...point, rank: 4, value: 62, ci95: null }, { ...point, rank: 0, split: 'test', primary: false }],
  training: { seed: 7, settings: { learningRate: 1e-3 } },
})

t.test('what is written is read back', async (t) => {
  const directory = join(t.testdir(), 'e2e')
  const written = await writeAdapter(directory, full)
  const read = await readAdapter(directory)
  t.strictSame(read, written)
  t.strictSame({ ...full, name: 'e2e', digest: read.digest }, read)
  t.match(read.digest, /^sha256:[0-9a-f]{64}$/)
})

t.test('every set of target modules, rank and scaling survives', async (t) => {
  const directory = join(t.testdir(), 'a')
  const modules = fc.shuffledSubarray(['q_proj', 'k_proj', 'v_proj', 'o_proj', 'fc_in', 'fc_out'] as const, {
    minLength: 1,
  })
  const rules = fc.constantFrom('alpha/b', 'alpha/sqrt(b)', 'alpha/r')
  const alphas = fc.double({ min: 0.1, max: 100, noNaN: true })
  const roundTrip = async (
    targetModules: Adapter['targetModules'],
    rank: number,
    scaling: Adapter['scaling'],
    loraAlpha: number,
  ) => {
    const content = randomAdapter(rank, rank, { targetModules, scaling, loraAlpha })
    await writeAdapter(directory, content)
    const { factors, ...read } = await readAdapter(directory)
    t.strictSame([read.maxRank, read.scaling, read.loraAlpha], [rank, scaling, loraAlpha])
    for (const [key, value] of content.factors) t.strictSame(factors.get(key), value)
    t.equal(factors.size, content.factors.size)
  }
  await fc.assert(fc.asyncProperty(modules, fc.integer({ min: 1, max: 5 }), rules, alphas, roundTrip), { numRuns: 20 })
})

t.test('truncating twice is truncating once, and shares the memory', async (t) => {
  const [factors] = full.factors.values()
  if (!factors) throw new Error('expected factors')
  const ranks = fc.tuple(fc.nat(4), fc.nat(4)).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const)
  fc.assert(
    fc.property(ranks, ([small, large]) => {
      t.strictSame(truncate(truncate(factors, large), small), truncate(factors, small))
    }),
  )
  t.equal(truncate(factors, 2).loraA.buffer, factors.loraA.buffer)
  t.throws(() => truncate(factors, 5), { code: 'rank_not_allowed' })
})

t.test('the digest is of factors and configuration, not of quality, training record or name', async (t) => {
  const parent = t.testdir()
  const digestOf = async (overrides: Partial<AdapterContent>, name = 'a') =>
    (await writeAdapter(join(parent, name), { ...full, ...overrides })).digest
  const digest = await digestOf({})
  t.equal(await digestOf({ quality: [], training: { seed: 8 } }, 'b'), digest)
  t.equal(await digestOf({ targetModules: ['fc_in', 'v_proj', 'q_proj'] }), digest, 'modules in another order')
  t.not(await digestOf({ prompt: { prefix: [], suffix: [5] } }), digest)
  t.not(await digestOf({ loraAlpha: 9 }), digest)
  t.not(await digestOf({ factors: randomAdapter(2).factors }), digest)
})

t.test('an adapter replaces the one that was there; what a killed writer left goes', async (t) => {
  const parent = t.testdir()
  const { pid } = spawnSync(process.execPath, ['-e', ''])
  mkdirSync(join(parent, `.a.writing-${hostname()}-${pid}-00c0ffee`))
  const first = await writeAdapter(join(parent, 'a'), full)
  const second = await writeAdapter(join(parent, 'a'), randomAdapter(2))
  t.not(first.digest, second.digest)
  t.equal((await readAdapter(join(parent, 'a'))).digest, second.digest)
  t.strictSame(readdirSync(parent), ['a'])
})

t.test('a reader during a swap sees one of the two adapters', async (t) => {
  const directory = join(t.testdir(), 'a')
  const digests = [
    (await writeAdapter(directory, full)).digest,
    (await writeAdapter(directory, randomAdapter(2))).digest,
  ]
  let writing = true
  const writer = (async () => {
    for (let i = 0; i < 10; i++) await writeAdapter(directory, i % 2 ? full : randomAdapter(2))
    writing = false
  })()
  const seen = new Set<string>()
  while (writing) seen.add((await readAdapter(directory).catch((error: Error) => error.message)) as string)
  await writer
  for (const adapter of seen) {
    // Two renames make a swap: in between there is none, never a mixture.
    if (typeof adapter === 'string') t.match(adapter, /there is no /)
    else t.ok(digests.includes((adapter as Adapter).digest))
  }
})

t.test('what cannot be an adapter is not written, and the one that was there stays', async (t) => {
  const directory = join(t.testdir(), 'a')
  const { digest } = await writeAdapter(directory, full)
  const spoiled = randomAdapter(3)
  spoiled.factors.get('1.v_proj')?.loraB.fill(Number.NaN, 3, 4)
  const few = new Map([...full.factors].filter(([key]) => key !== '1.q_proj'))
  const refused: readonly [Partial<AdapterContent>, RegExp][] = [
    [{ factors: spoiled.factors }, /1\.v_proj: a value is not finite/],
    [{ factors: few }, /there are no factors for 1\.q_proj/],
    [{ targetModules: ['q_proj', 'v_proj'] }, /expected factors for q_proj, v_proj only, got .*fc_in/],
    [{ maxRank: 3, ranks: [1, 3] }, /0\.q_proj: expected rank 3, got 4 and 4/],
    [{ ranks: [1, 2] }, /ranks: expected the last to be maxRank 4, got 2/],
    [{ ranks: [2, 1, 4] }, /ranks: expected ascending ranks/],
    [{ ranks: [] }, /ranks: /],
    [{ method: 'lora' }, /ranks: expected one rank for method lora, got 4/],
    [{ loraAlpha: 0 }, /loraAlpha: /],
    [{ quality: [{ ...point, rank: 5 }] }, /quality: rank 5 is not one of 1, 2, 3, 4/],
    [{ quality: [point, point] }, /quality: two points for one rank, dataset, split and metric/],
    [{ quality: [point, { ...point, metric: 'loss' }] }, /quality: more than one primary metric on a split/],
    [{ quality: [{ ...point, value: Number.NaN }] }, /quality\.0\.value: /],
    [{ quality: [{ ...point, ci95: [2, 1] }] }, /quality\.0\.ci95: expected the lower end first/],
  ]
  for (const [overrides, message] of refused) {
    await t.rejects(writeAdapter(directory, { ...full, ...overrides }), { code: 'adapter_invalid', message })
  }
  t.equal((await readAdapter(directory)).digest, digest)
})

function edit(directory: string, name: string, change: Record<string, unknown>): void {
  const json = JSON.parse(readFileSync(join(directory, name), 'utf8'))
  writeFileSync(join(directory, name), JSON.stringify({ ...json, ...change }))
}

async function editFactors(directory: string, change: (tensors: Map<string, TensorSource>) => void): Promise<void> {
  const path = join(directory, 'adapter_model.safetensors')
  const file = await readSafetensorsHeader(path)
  const tensors = new Map<string, TensorSource>()
  for (const { name, shape } of file.tensors.values()) {
    tensors.set(name, { name, shape, data: await readTensor(file, name) })
  }
  change(tensors)
  await writeSafetensors(path, tensors.values())
}

function flip(directory: string, offset: number): void {
  const path = join(directory, 'adapter_model.safetensors')
  const bytes = readFileSync(path)
  bytes[offset] = (bytes[offset] ?? 0) ^ 1
  writeFileSync(path, bytes)
}

const weights = (directory: string) => join(directory, 'adapter_model.safetensors')
const fused = 'base_model.model.transformer.h.0.attn.c_attn'
const set = (name: string, shape: number[], fill: (data: Float32Array) => void = () => {}) => {
  const data = new Float32Array(shape.reduce((n, size) => n * size, 1))
  fill(data)
  return (tensors: Map<string, TensorSource>) => void tensors.set(name, { name, shape, data })
}

const faults: Readonly<Record<string, { break: (directory: string) => unknown; reason: RegExp }>> = {
  'no factors': { break: (d) => rmSync(weights(d)), reason: /there is no adapter_model\.safetensors/ },
  'no PEFT configuration': {
    break: (d) => rmSync(join(d, 'adapter_config.json')),
    reason: /there is no adapter_config/,
  },
  'truncated factors': { break: (d) => truncateSync(weights(d), 9000), reason: /expected \d+ bytes in all, got 9000/ },
  'factors cut to nothing': { break: (d) => truncateSync(weights(d), 0), reason: /expected at least 8 bytes, got 0/ },
  'a flipped bit in the header size': { break: (d) => flip(d, 7), reason: /the header is said to have \d+ bytes/ },
  'a flipped bit in the header': { break: (d) => flip(d, 8), reason: /the header is not JSON/ },
  'a flipped bit in a factor': {
    break: (d) => flip(d, 4096),
    reason: /the content does not match its digest: expected sha256:[0-9a-f]{64}, got sha256:[0-9a-f]{64}/,
  },
  'factors of another adapter': {
    break: async (d) => cpSync(weights((await writeTo(`${d}-other`, randomAdapter(2))) as string), weights(d)),
    reason: /the content does not match its digest/,
  },
  'a factor that is not finite': {
    break: (d) =>
      editFactors(
        d,
        set(`${fused}.lora_A.weight`, [8, 32], (data) => data.fill(Number.NaN, 5, 6)),
      ),
    reason: /tensor 'base_model.*c_attn\.lora_A\.weight': expected finite values, got NaN at 5/,
  },
  'a missing half': {
    break: (d) => editFactors(d, (tensors) => tensors.delete(`${fused}.lora_B.weight`)),
    reason: /tensor 'base_model.*h\.0\.attn\.c_attn\.lora_B\.weight' is missing/,
  },
  'a missing layer': {
    break: (d) =>
      editFactors(d, (tensors) => {
        for (const name of tensors.keys()) if (name.startsWith(fused)) tensors.delete(name)
      }),
    reason: /there are no factors for 0\.q_proj/,
  },
  'a tensor of an unknown module': {
    break: (d) => editFactors(d, set('base_model.model.transformer.wte.lora_A.weight', [1, 1])),
    reason: /tensor 'base_model\.model\.transformer\.wte\.lora_A\.weight' belongs to no known target module/,
  },
  'a tensor that is no matrix': {
    break: (d) => editFactors(d, set(`${fused}.lora_A.weight`, [256])),
    reason: /c_attn\.lora_A\.weight': expected a matrix, got \[256\]/,
  },
  'halves of two ranks': {
    break: (d) => editFactors(d, set(`${fused}.lora_A.weight`, [7, 32])),
    reason: /c_attn\.lora_B\.weight': expected \[96,7\] to go with its lora_A/,
  },
  'a wrong rank': {
    break: (d) =>
      editFactors(d, (tensors) => {
        set(`${fused}.lora_A.weight`, [7, 32])(tensors)
        set(`${fused}.lora_B.weight`, [96, 7])(tensors)
      }),
    reason: /0\.attn\.c_attn: expected 8 rank rows, got 7/,
  },
  'a wrong width': {
    break: (d) => editFactors(d, set(`${fused}.lora_A.weight`, [8, 31])),
    reason: /1\.q_proj: expected 31 -> 32 as in layer 0, got 32 -> 32/,
  },
  'values outside the blocks of a fused layer': {
    break: (d) =>
      editFactors(
        d,
        set(`${fused}.lora_B.weight`, [96, 8], (data) => data.fill(1)),
      ),
    reason: /0\.attn\.c_attn: lora_B has values outside the blocks of its modules/,
  },
  'a format of the future': {
    break: (d) => edit(d, 'dylora.json', { formatVersion: 2 }),
    reason: /dylora\.json: formatVersion: .*1/,
  },
  'an unknown field': { break: (d) => edit(d, 'dylora.json', { ranck: 3 }), reason: /dylora\.json: .*ranck/ },
  'an unknown scaling rule': {
    break: (d) => edit(d, 'dylora.json', { scaling: 'alpha' }),
    reason: /dylora\.json: scaling/,
  },
  'files that disagree about the scaling': {
    break: (d) => edit(d, 'adapter_config.json', { lora_alpha: 16 }),
    reason: /adapter_config\.json: expected lora_alpha 8 by dylora\.json, got 16/,
  },
  'a changed prompt': {
    break: (d) => edit(d, 'dylora.json', { prompt: { prefix: [], suffix: [] } }),
    reason: /the content does not match its digest/,
  },
  'dylora.json that is not JSON': {
    break: (d) => writeFileSync(join(d, 'dylora.json'), '{'),
    reason: /dylora\.json: /,
  },
}

async function writeTo(directory: string, content: AdapterContent): Promise<string> {
  await writeAdapter(directory, content)
  return directory
}

for (const [what, fault] of Object.entries(faults)) {
  t.test(`${what}: refused with a reason`, async (t) => {
    const directory = await writeTo(join(t.testdir(), 'a'), full)
    await fault.break(directory)
    await t.rejects(readAdapter(directory), { code: 'adapter_invalid', message: fault.reason })
  })
}

t.test('whatever byte is spoiled, the adapter is refused or is the same adapter', async (t) => {
  const directory = await writeTo(join(t.testdir(), 'a'), full)
  const { digest } = await readAdapter(directory)
  const files = readdirSync(directory).map((name) => ({ name, bytes: readFileSync(join(directory, name)) }))
  const spoil = async (file: number, place: number, value: number) => {
    const { name = '', bytes = Buffer.alloc(0) } = files[file % files.length] ?? {}
    const spoiled = Buffer.from(bytes)
    // Most of the factors' file is factors; the header deserves as many tries.
    spoiled[place % Math.min(bytes.length, place % 2 ? 2000 : bytes.length)] = value
    writeFileSync(join(directory, name), spoiled)
    const outcome = await readAdapter(directory).catch((error: unknown) => error)
    writeFileSync(join(directory, name), bytes)
    if (outcome instanceof Error) t.match(outcome, { code: 'adapter_invalid' })
    else t.match(outcome, { digest })
  }
  const any = [fc.nat(), fc.nat(), fc.nat(255)] as const
  await fc.assert(fc.asyncProperty(...any, spoil), { numRuns: 300 })
})

t.test('an adapter belongs to the base that it was trained for', async (t) => {
  const adapter = { ...full, name: 'a', digest: '' }
  t.doesNotThrow(() => checkAgainstBase(adapter, base))
  t.doesNotThrow(() => checkAgainstBase({ ...adapter, baseDigest: '' }, base), 'not pinned')
  const refused: readonly [Adapter, Parameters<typeof checkAgainstBase>[1], RegExp][] = [
    [adapter, { ...base, digest: 'sha256:other' }, /it belongs to base gpt2 sha256:\w+, and this is base sha256:other/],
    [adapter, { ...base, config: { ...base.config, layers: 3 } }, /expected 3 layers as in the base, got 2/],
    [
      adapter,
      { ...base, config: { ...base.config, innerSize: 64 } },
      /fc_in: expected 32 -> 64 as in the base, got 32 -> 128/,
    ],
    [
      { ...adapter, prompt: { prefix: [300], suffix: [] } },
      base,
      /prompt token 300 is not in the base's vocabulary of 300/,
    ],
  ]
  for (const [one, other, message] of refused) {
    t.throws(() => checkAgainstBase(one, other), { code: 'adapter_invalid', message })
  }
})

t.test('only a trained rank is exported', async (t) => {
  const directory = join(t.testdir(), 'cut')
  const adapter = { ...full, ranks: [1, 4], name: 'a', digest: '' }
  await t.rejects(exportAdapter(adapter, 2, directory), { code: 'rank_not_allowed', message: /one of 1, 4/ })
  await exportAdapter(adapter, 1, directory)
  t.strictSame(readdirSync(directory).sort(), ['adapter_config.json', 'adapter_model.safetensors'])
})
