/** The paired comparison of arms with the LoRA trained for the rank. */
import t from 'tap'
import { comparer, type TextsOf } from '../../../src/cli/experiment/compare.ts'
import type { MeasuredRun } from '../../../src/cli/experiment/results.ts'

const words = ['red', 'blue', 'small', 'large', 'quiet', 'busy']
const groups = words.map((word) => ({ context: word, references: [`the ${word} pub is near the river bank`] }))

const cost = { steps: 1, tokens: 1, flops: 1, seconds: 1, processorSeconds: 1 }

/** A training of which an arm was measured at some ranks. */
function run(arm: string, seed: number, ranks: readonly number[], plan: 'main' | 'wide' = 'main'): MeasuredRun {
  const family = arm === 'lora' ? ('lora' as const) : ('dylora' as const)
  const measured = ranks.map((rank) => ({ arm, rank, parameters: 1, loss: 1, lossExamples: 1, metrics: { bleu: 0 } }))
  const subjects = [{ arm, label: arm, family, ranks }]
  return { id: `${arm}-r${ranks.join('-')}-seed${seed}`, plan, seed, settings: {}, subjects, cost, measured }
}

/** DyLoRA says it all but for a word; LoRA too in its second seed, and nothing right in its first. */
const textsOf: TextsOf = async ({ seed }, arm) =>
  words.map((word) =>
    arm === 'lora' && seed === 1
      ? 'a b c d e f g h'
      : `the ${word} pub is near the river ${arm === 'lora' ? 'side' : 'bank'}`,
  )

const compare = comparer(groups, 'bleu', textsOf)

t.test('an arm is compared at the ranks and seeds that have a LoRA, with the mean over the seeds', async (t) => {
  const runs = [
    run('dylora', 1, [1, 2]),
    run('dylora', 2, [1, 2]),
    run('dylora', 3, [1, 2]),
    run('lora', 1, [1]),
    run('lora', 2, [1]),
    run('lora', 2, [2]),
  ]
  const comparisons = await compare(runs)
  t.same(
    comparisons.map(({ plan, arm, rank, seeds }) => [plan, arm, rank, seeds]),
    [
      ['main', 'dylora', 1, 2],
      ['main', 'dylora', 2, 1],
    ],
  )
  const [first, second] = comparisons
  // BLEU of seven right words of eight, and of none.
  const near = 100 * ((7 / 8) * (6 / 7) * (5 / 6) * (4 / 5)) ** (1 / 4)
  t.ok(Math.abs((second?.difference ?? 0) - (100 - near)) < 1e-6, `${second?.difference}`)
  t.ok(Math.abs((first?.difference ?? 0) - (100 - near / 2)) < 1e-3, `${first?.difference}`)
  for (const { ci95, pValue } of comparisons) {
    t.ok(ci95[0] > 0 && ci95[1] >= ci95[0])
    t.equal(pValue, 0)
  }
})

t.test('what was compared is not compared again until there are more seeds', async (t) => {
  let read = 0
  const counting = comparer(groups, 'bleu', (...args) => {
    read += 1
    return textsOf(...args)
  })
  const runs = [run('dylora', 2, [1]), run('lora', 2, [1])]
  t.same([await counting(runs), read], [await counting(runs), 2])
  const [more] = await counting([...runs, run('dylora', 4, [1]), run('lora', 4, [1])])
  t.same([more?.seeds, read], [2, 2 + 4])
})

t.test('arms of one plan are not compared with a LoRA of the other', async (t) => {
  t.same(await compare([run('dylora', 1, [1]), run('lora', 1, [1], 'wide')]), [])
})
