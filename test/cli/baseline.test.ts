import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { baselineOf, run } from '../../src/cli/baseline.ts'
import { readAdapter, writeAdapter } from '../../src/dylora/adapter-directory.ts'
import { randomAdapter } from '../fixtures/adapters.ts'
import { quality } from '../fixtures/app.ts'

const loraAt = (rank: number, value: number, more: object = {}) =>
  randomAdapter(rank, rank, {
    method: 'lora' as const,
    ranks: [rank],
    quality: quality.filter((point) => point.rank === rank).map((point) => ({ ...point, value })),
    ...more,
  })

t.test('what LoRAs reach stands beside the curve, and the adapter stays the same', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'dylora-baseline-'))
  t.teardown(() => rm(directory, { recursive: true }))
  const at = (name: string) => join(directory, name)
  const { digest } = await writeAdapter(at('e2e'), randomAdapter(1, 8, { quality }))
  await writeAdapter(at('lora1'), loraAt(1, 51))
  await writeAdapter(at('lora4'), loraAt(4, 61))
  t.capture(console, 'log')
  t.equal(await run(['--adapter', at('e2e'), '--lora', at('lora1'), '--lora', at('lora4')]), 0)
  const after = await readAdapter(at('e2e'))
  t.equal(after.digest, digest)
  t.same(after.quality, quality)
  t.same(
    after.baselines?.map(({ method, rank, split, value, primary }) => [method, rank, split, value, primary]),
    [
      ['lora', 1, 'validation', 51, false],
      ['lora', 1, 'test', 51, false],
      ['lora', 4, 'validation', 61, false],
      ['lora', 4, 'test', 61, false],
    ],
  )
  await run(['--adapter', at('e2e'), '--lora', at('lora4')])
  t.equal((await readAdapter(at('e2e'))).baselines?.length, 2, 'in place of what was there')
  const json = JSON.parse(await readFile(join(at('e2e'), 'dylora.json'), 'utf8'))
  t.equal(json.quality.length, quality.length)
})

t.test('what cannot be compared is refused by name', async (t) => {
  const curve = { baseDigest: '', baseModel: '', quality }
  const lora = { ...loraAt(4, 61), name: 'l', digest: '' }
  t.equal(baselineOf(curve, lora).length, 2)
  t.throws(() => baselineOf(curve, { ...lora, method: 'dylora' }), /expected a LoRA of one rank, got method dylora/)
  t.throws(() => baselineOf(curve, { ...lora, baseDigest: 'sha256:9' }), /expected base .*got .*sha256:9/)
  const elsewhere = lora.quality.map((point) => ({ ...point, n: 7 }))
  t.throws(() => baselineOf(curve, { ...lora, quality: elsewhere }), /measured on nothing that the adapter/)
  await t.rejects(run([]), /expected --adapter and --lora/)
})
