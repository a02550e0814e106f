/** The parts of training that decide without a model: optimizer, schedule, ranks, batches, data. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { layOut } from '../../src/dylora/sequences.ts'
import { readTokenizer } from '../../src/dylora/tokenizer.ts'
import { adamW, parameter } from '../../src/training/adamw.ts'
import { epochBatches } from '../../src/training/batches.ts'
import { type EncodingOptions, readDataset } from '../../src/training/data.ts'
import { batchRanks, batchRows, examplesPerBatch, lossFeeds } from '../../src/training/distillation.ts'
import { type RankPolicy, rowShares, sampleRanks, updatedRows } from '../../src/training/rank-sampling.ts'
import { rateAt } from '../../src/training/schedule.ts'
import { fixturePath } from '../fixtures/golden.ts'

const policy: RankPolicy = {
  method: 'dylora',
  maxRank: 8,
  distribution: 'uniform',
  per: 'batch',
  draw: 'independent',
  maxRankShare: 0,
  update: 'all',
}

t.test('AdamW moves as its definition says, decay decoupled', async (t) => {
  const settings = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1 }
  const w = parameter('w', Float32Array.of(1, -2), 2, true)
  // Two steps by hand, in float64.
  let [x, m, v] = [1, 0, 0]
  for (const [i, g] of [0.5, -0.25].entries()) {
    adamW(w, Float32Array.of(g, g), [0, 1], 0.01, 1, settings)
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g * g
    const [mHat, vHat] = [m / (1 - 0.9 ** (i + 1)), v / (1 - 0.999 ** (i + 1))]
    x = x - 0.01 * 0.1 * x - (0.01 * mHat) / (Math.sqrt(vHat) + 1e-8)
  }
  t.ok(Math.abs(w.data[0]! - x) < 1e-6, `${w.data[0]} for ${x}`)
})

t.test('a row that is not used does not move, decay or age, and another starts its own bias correction', async (t) => {
  const settings = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1 }
  const w = parameter('w', Float32Array.of(1, 1, 1, 1), 2, true)
  const gradient = Float32Array.of(0.3, 0.3, 0.3, 0.3)
  for (let i = 0; i < 5; i++) adamW(w, gradient, [0, 1], 0.01, 1, settings)
  t.same([...w.data.slice(2)], [1, 1])
  t.same([...w.steps], [5, 0])
  const before = w.data[0]!
  adamW(w, gradient, [1, 2], 0.01, 1, settings)
  t.equal(w.data[0], before)
  t.ok(Math.abs(w.data[2]! - (1 - 0.001 - 0.01)) < 1e-6, 'the first step of a row is a full one')
})

t.test('the learning rate climbs, then decays to the end', async (t) => {
  const rates = Array.from({ length: 10 }, (_, step) => rateAt({ steps: 10, warmupSteps: 2, decay: 'linear' }, step))
  t.same(rates.slice(0, 3), [0.5, 1, 1])
  t.ok(rates.slice(2).every((rate, i, all) => i === 0 || rate < all[i - 1]!))
  t.equal(rateAt({ steps: 10, warmupSteps: 0, decay: 'cosine' }, 5), 0.5)
  t.equal(rateAt({ steps: 10, warmupSteps: 0, decay: 'constant' }, 9), 1)
})

t.test('uniform sampling gives every rank its share', async (t) => {
  const counts = new Array<number>(9).fill(0)
  for (let step = 0; step < 8000; step++) counts[sampleRanks(policy, 1, 1, step)[0]!]! += 1
  t.equal(counts[0], 0)
  t.ok(
    counts.slice(1).every((count) => count > 850 && count < 1150),
    counts.join(),
  )
})

t.test('geometric sampling follows p = 0.15, cut at the maximum', async (t) => {
  const counts = new Array<number>(9).fill(0)
  const geometric = { ...policy, distribution: 'geometric' as const }
  for (let step = 0; step < 20000; step++) counts[sampleRanks(geometric, 1, 2, step)[0]!]! += 1
  const within = 1 - 0.85 ** 8
  for (let rank = 1; rank <= 8; rank++) {
    const expected = (20000 * 0.15 * 0.85 ** (rank - 1)) / within
    t.ok(Math.abs(counts[rank]! - expected) < 5 * Math.sqrt(expected), `rank ${rank}: ${counts[rank]} for ${expected}`)
  }
})

t.test('a rank is drawn for the batch or for each example; LoRA keeps its own', async (t) => {
  t.equal(new Set(sampleRanks(policy, 16, 3, 0)).size, 1)
  t.ok(new Set(sampleRanks({ ...policy, per: 'example' }, 64, 3, 0)).size > 4)
  t.same(sampleRanks({ ...policy, method: 'lora' }, 2, 3, 0), [8, 8])
})

t.test(
  'stratified ranks cover the distribution: in each batch by example, in each cycle of steps by batch',
  async (t) => {
    const count = (ranks: readonly number[]) =>
      ranks.reduce((counts, rank) => counts.with(rank, counts[rank]! + 1), Array<number>(9).fill(0))
    const byExample = { ...policy, per: 'example', draw: 'stratified' } as const
    t.same(count(sampleRanks(byExample, 16, 3, 0)), [0, 2, 2, 2, 2, 2, 2, 2, 2])
    t.notSame(sampleRanks(byExample, 16, 3, 0), sampleRanks(byExample, 16, 3, 1), 'in another order at each step')
    const byStep = { ...policy, draw: 'stratified' } as const
    const steps = Array.from({ length: 24 }, (_, step) => sampleRanks(byStep, 1, 3, step)[0]!)
    t.same(count(steps), [0, 3, 3, 3, 3, 3, 3, 3, 3])
    t.notSame(steps.slice(0, 8), steps.slice(8, 16))
    const tilted = count(sampleRanks({ ...byExample, maxRankShare: 0.5 }, 16, 3, 0))
    t.same(tilted, [0, 1, 1, 1, 1, 1, 1, 1, 9], 'half of them at the highest rank, and its share of the rest')
  },
)

t.test('the share of a row is the chance of a rank at or above it', async (t) => {
  const near = (found: readonly number[], expected: readonly number[]) =>
    t.ok(
      found.every((share, row) => Math.abs(share - expected[row]!) < 1e-9),
      `${found} for ${expected}`,
    )
  near(rowShares({ ...policy, maxRank: 4 }), [1, 0.75, 0.5, 0.25])
  near(rowShares({ ...policy, maxRank: 4, per: 'example', maxRankShare: 0.5 }), [1, 0.875, 0.75, 0.625])
  near(rowShares({ ...policy, maxRank: 4, update: 'frozen' }), [0.25, 0.25, 0.25, 0.25])
  near(rowShares({ ...policy, maxRank: 3, method: 'lora' }), [1, 1, 1])
  near(rowShares({ ...policy, maxRank: 2, distribution: 'geometric' }), [1, 0.85 / 1.85])
})

t.test('distillation pairs each row with itself at the highest rank', async (t) => {
  const settings = { distillation: 0.25, maxRank: 8, batchSize: 5 }
  t.equal(examplesPerBatch(settings), 2)
  t.equal(examplesPerBatch({ ...settings, distillation: 0 }), 5)
  const examples = [4, 3].map((length) => ({ ids: new Int32Array(length), lossFrom: 1 }))
  const rows = batchRows(examples, settings)
  t.same(rows, [...examples, ...examples])
  t.same(batchRanks([3, 4, 1, 2, 6], rows.length, settings), [8, 8, 1, 2, 6])
  const batch = layOut(rows, 5)
  const feeds = lossFeeds(batch, 10, settings)
  t.same([...feeds.teachers!.data], [0, 1, 2, 3, 4, 0, 1, 2, 3, 4])
  const near = (name: string, expected: number[]) =>
    t.ok(
      [...feeds[name]!.data].every((value, i) => Math.abs(Number(value) - expected[i]!) < 1e-7),
      name,
    )
  near('loss_weights', [...Array(5).fill(0.1), ...Array(5).fill(0.075)])
  near('distillation_weights', [...Array(5).fill(0), ...Array(5).fill(0.025)])
})

t.test('all rows up to b move, or row b alone', async (t) => {
  t.same(updatedRows(policy, 5), [0, 5])
  t.same(updatedRows({ ...policy, update: 'frozen' }, 5), [4, 5])
})

t.test('an epoch sees every sequence once, in an order of its own', async (t) => {
  const sequences = Array.from({ length: 101 }, (_, i) => ({ ids: new Int32Array(2 + (i % 7)), lossFrom: 1 }))
  const [first, second] = [0, 1].map((epoch) => epochBatches(sequences, 4, 1, epoch))
  t.same(
    first!.flat().toSorted((a, b) => a - b),
    [...sequences.keys()],
  )
  t.notSame(first, second)
  t.same(first, epochBatches(sequences, 4, 1, 0))
  const spread = first!.map(
    (batch) =>
      Math.max(...batch.map((i) => sequences[i]!.ids.length)) - Math.min(...batch.map((i) => sequences[i]!.ids.length)),
  )
  t.ok(spread.filter((difference) => difference > 1).length <= 1, 'sequences of a batch are of about one length')
})

async function encoding(): Promise<EncodingOptions> {
  return {
    tokenizer: await readTokenizer(fixturePath('gpt2')),
    prompt: { prefix: [], suffix: [0] },
    eosTokenId: 0,
    maxLength: 20,
  }
}

t.test('an example is context, suffix, completion and end, with the loss on the completion', async (t) => {
  const options = await encoding()
  const file = join(t.testdir(), 'train.jsonl')
  writeFileSync(file, '{"context": "ab", "completion": "cd"}\n\n')
  const { sequences } = await readDataset(file, options)
  const [given, completion] = [options.tokenizer.encode('ab'), options.tokenizer.encode(' cd')]
  t.same([...sequences[0]!.ids], [...given, 0, ...completion, 0])
  t.equal(sequences[0]!.lossFrom, given.length + 1)
})

t.test('a broken line is named by its number', async (t) => {
  const options = await encoding()
  const good = '{"context": "a", "completion": "b"}'
  const cases: [string, RegExp][] = [
    [`${good}\nnot json\n`, /line 2: /],
    [`${good}\n${good}\n{"context": "a"}\n`, /line 3: completion: /],
    ['{"context": "a", "completion": ""}', /line 1: completion: /],
    ['{"context": "a", "completion": "b", "extra": 1}', /line 1: .*extra/],
    ['', /at least one example/],
  ]
  for (const [i, [text, message]] of cases.entries()) {
    const file = join(t.testdir({ [`${i}.jsonl`]: text }), `${i}.jsonl`)
    await t.rejects(readDataset(file, options), { code: 'dataset_invalid', message })
  }
  await t.rejects(readDataset('/nowhere.jsonl', options), { code: 'dataset_invalid', message: /ENOENT/ })
})

t.test('data is UTF-8: a mark at its beginning is no part of it, other bytes are refused by their line', async (t) => {
  const options = await encoding()
  const line = '{"context": "é\u2028", "completion": "b"}'
  const written = async (bytes: Buffer) => {
    const file = join(t.testdir(), 'train.jsonl')
    writeFileSync(file, bytes)
    return readDataset(file, options)
  }
  const plain = await written(Buffer.from(`${line}\n`))
  t.same((await written(Buffer.from(`\ufeff${line}\r\n`))).sequences, plain.sequences)
  await t.rejects(written(Buffer.from(`${line}\n{"context": "é", "completion": "b"}\n`, 'latin1')), {
    code: 'dataset_invalid',
    message: /line 1: expected UTF-8, got other bytes/,
  })
})

t.test('examples that are too long are left out and counted', async (t) => {
  const file = join(t.testdir(), 'train.jsonl')
  writeFileSync(file, `{"context": "a", "completion": "b"}\n{"context": "${'x'.repeat(200)}", "completion": "b"}\n`)
  t.match(await readDataset(file, await encoding()), { leftOut: 1, sequences: { length: 1 } })
})

t.test('documents of a text are sequences; long ones are cut; a separator within a line stays a token', async (t) => {
  const options = await encoding()
  const file = join(t.testdir(), 'text.txt')
  writeFileSync(file, `ab<|endoftext|> cd<|endoftext|>\n${'x y '.repeat(40)}<|endoftext|>\n`)
  const { sequences } = await readDataset(file, options)
  t.same([...sequences[0]!.ids], [...options.tokenizer.encode('ab'), 0, ...options.tokenizer.encode(' cd'), 0])
  t.ok(sequences.length > 2 && sequences.every(({ ids, lossFrom }) => ids.length <= 20 && lossFrom === 1))
})
