/** The bundled base model and adapter: whole, made for each other, measured at every rank, and able to do what they are for. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { QualityPoint } from '../../src/dylora/adapter.ts'
import { checkAgainstBase, readAdapter } from '../../src/dylora/adapter-directory.ts'
import { baseDigest, baseFiles, readBaseModel, readWeight } from '../../src/dylora/base-model.ts'
import { readTokenizer } from '../../src/dylora/tokenizer.ts'
import { Engine } from '../../src/inference/engine.ts'
import { resolveRank } from '../../src/inference/rank-choice.ts'
import { request } from '../fixtures/engine.ts'

const models = fileURLToPath(new URL('../../models', import.meta.url))
const base = await readBaseModel(join(models, 'base/tiny-gpt2'))
const adapter = await readAdapter(join(models, 'adapters/e2e'))

const points = (rank: number, split: QualityPoint['split'], metric: string): QualityPoint[] =>
  adapter.quality.filter(
    (point) => point.rank === rank && point.split === split && point.metric === metric && point.dataset === 'e2e',
  )

t.test('the base is what its digest says, and the adapter was made for it', async (t) => {
  t.equal(
    await baseDigest(
      (name) => readWeight(base, name),
      base.config,
      await readFile(join(base.directory, baseFiles.tokenizer)),
    ),
    base.digest,
  )
  checkAgainstBase(adapter, base)
  t.equal(adapter.baseDigest, base.digest)
})

t.test('quality is there for every rank, on both splits, with intervals', async (t) => {
  t.same(adapter.ranks, [1, 2, 3, 4, 5, 6, 7, 8])
  for (const rank of [0, ...adapter.ranks]) {
    for (const [split, inputs] of [
      ['validation', 547],
      ['test', 630],
    ] as const) {
      const [bleu, ...more] = points(rank, split, 'bleu')
      t.match(bleu, { n: inputs, higherIsBetter: true, primary: split === 'validation' && rank > 0 })
      t.same(more, [])
      t.ok(bleu!.ci95![0] < bleu!.value && bleu!.value < bleu!.ci95![1])
      t.equal(points(rank, split, 'loss').length, 1)
    }
  }
})

t.test('the curve is worth a rank: 55 BLEU and more at the top, and `auto` finds the smallest good one', async (t) => {
  const bleu = (rank: number) => points(rank, 'validation', 'bleu')[0]!.value
  t.ok(points(8, 'test', 'bleu')[0]!.value >= 55)
  const { rank, reason } = resolveRank(adapter, 'auto')
  const best = Math.max(...adapter.ranks.map(bleu))
  t.equal(reason, 'auto')
  t.ok(bleu(rank) >= 0.99 * best)
  t.ok(adapter.ranks.filter((lower) => lower < rank).every((lower) => bleu(lower) < 0.99 * best))
})

t.test('it says what it is told, at every rank', async (t) => {
  const engine = await Engine.create({ base, tokenizer: await readTokenizer(base.directory), device: 'cpu' })
  t.teardown(() => engine.close())
  await engine.registry.add(adapter)
  const inputs =
    'name : The Vaults | Type : pub | price : more than £ 30 | customer rating : 5 out of 5 | near : Café Adriatic'
  const texts = await Promise.all(
    adapter.ranks.map((rank) => engine.submit(request(inputs, { rank, maxNewTokens: 80 })).result),
  )
  for (const { text, finishReason } of texts) {
    t.match(text, /The Vaults/)
    t.match(text, /pub/)
    t.equal(finishReason, 'eos_token')
  }
})
