/** Measuring arms together gives what measuring each alone gives. */
import { join } from 'node:path'
import t from 'tap'
import { type MeasureContext, measureRun } from '../../../src/cli/experiment/measure.ts'
import { planOf, type Run } from '../../../src/cli/experiment/plan.ts'
import { writeAdapter } from '../../../src/dylora/adapter-directory.ts'
import { importCheckpoint } from '../../../src/dylora/import.ts'
import { randomAdapter } from '../../fixtures/adapters.ts'
import { fixturePath } from '../../fixtures/golden.ts'

t.test('arms of one training that share a batch do not see each other', async (t) => {
  const names = ['Elm', 'Oak', 'Fig', 'Ash']
  const examples = names.map((name) => JSON.stringify({ context: `name : ${name}`, completion: `${name} is a pub .` }))
  const directory = t.testdir({ 'valid.jsonl': examples.join('\n') })
  const { base } = await importCheckpoint(fixturePath('gpt2'), join(directory, 'base'))
  const strong = { method: 'lora', ranks: [3], loraAlpha: 60, baseDigest: base.digest } as const
  const adapter = randomAdapter(5, 3, strong)
  await writeAdapter(join(directory, 'model'), adapter)
  const context: MeasureContext = {
    base,
    validation: join(directory, 'valid.jsonl'),
    lossExamples: 2,
    groups: names.map((name) => ({ context: `name : ${name}`, references: [`${name} is a pub .`] })),
    maxNewTokens: 12,
    threads: 1,
  }
  const [run] = planOf({ wide: false, seeds: [1], maxRank: 3, shared: {}, only: ['lora-r3'] }) as [Run]
  const together = await measureRun(context, run, join(directory, 'model'))
  t.equal(together.length, 1 + 3 * 3)
  t.ok(new Set(together.map(({ texts }) => texts.join())).size > 5, 'the arms say different things')
  for (const subject of run.subjects) {
    const alone = await measureRun(context, { ...run, subjects: [subject] }, join(directory, 'model'))
    t.same(
      together.filter(({ arm }) => arm === subject.arm),
      alone,
      subject.arm,
    )
  }
  t.ok(together.every(({ lossExamples }) => lossExamples === 2))
})
