/** Adapter directories: written and read again, published whole, and only as what they can be. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { type Adapter, type QualityPoint, truncate } from '../../src/dylora/adapter.ts'
import { type AdapterContent, checkAgainstBase, readAdapter, writeAdapter } from '../../src/dylora/adapter-directory.ts'
import { importCheckpoint } from '../../src/dylora/import.ts'
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
  quality: [
    point,
    { ...point, value: 61, primary: false, decoding: 'num_beams=10' },
    { ...point, rank: 4, value: 62, ci95: null },
    { ...point, rank: 0, split: 'test', primary: false },
  ],
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
    [{ quality: [point, point] }, /quality: two points for one rank, dataset, split, metric and decoding/],
    [
      { quality: [point, { ...point, rank: 4, decoding: 'num_beams=10' }] },
      /quality: more than one primary metric on a split/,
    ],
    [{ quality: [point, { ...point, metric: 'loss' }] }, /quality: more than one primary metric on a split/],
    [{ quality: [{ ...point, value: Number.NaN }] }, /quality\.0\.value: /],
    [{ quality: [{ ...point, ci95: [2, 1] }] }, /quality\.0\.ci95: expected the lower end first/],
  ]
  for (const [overrides, message] of refused) {
    await t.rejects(writeAdapter(directory, { ...full, ...overrides }), { code: 'adapter_invalid', message })
  }
  t.equal((await readAdapter(directory)).digest, digest)
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
