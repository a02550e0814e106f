/** The plan of an experiment: which trainings there are, and what is measured of each. */
import t from 'tap'
import { type PlanOptions, planOf, powersOfTwo } from '../../../src/cli/experiment/plan.ts'

const options = (some: Partial<PlanOptions> = {}): PlanOptions => ({
  wide: false,
  seeds: [7],
  maxRank: 2,
  shared: { steps: 5 },
  ...some,
})

t.test('every method is trained once for all ranks, LoRA once for each, all weights once', async (t) => {
  t.same(
    planOf(options()).map(({ id, settings: { method, maxRank, steps, seed } }) => [id, method, maxRank, steps, seed]),
    [
      ['dylora-seed7', 'dylora', 2, 5, 7],
      ['dylora-frozen-seed7', 'dylora', 2, 5, 7],
      ['dylora-geometric-seed7', 'dylora', 2, 5, 7],
      ['dylora-frozen-geometric-seed7', 'dylora', 2, 5, 7],
      ['recipe-seed7', 'dylora', 2, 5, 7],
      ['lora-r2-seed7', 'lora', 2, 5, 7],
      ['lora-r1-seed7', 'lora', 1, 5, 7],
      ['full-seed7', 'full', 8, 5, 7],
    ],
  )
})

t.test("the paper's ablations differ in the update and the distribution, and in nothing else", async (t) => {
  const runs = planOf(options()).filter(({ id }) => id.startsWith('dylora'))
  t.same(
    runs.map(({ settings: { update, distribution } }) => [update, distribution]),
    [
      ['all', 'uniform'],
      ['frozen', 'uniform'],
      ['all', 'geometric'],
      ['frozen', 'geometric'],
    ],
  )
  const rest = runs.map(({ settings: { update: _u, distribution: _d, ...settings } }) => settings)
  for (const settings of rest) t.same(settings, rest[0])
  t.match(rest[0], { rankPer: 'batch', scaling: 'alpha/b', objective: 'sampled' })
})

t.test(
  'the LoRA of the highest rank is cut in every way, at every rank; the others are measured at their own',
  async (t) => {
    const subjects = (id: string) =>
      planOf(options({ maxRank: 3, loraRanks: [1] }))
        .find((run) => run.id === id)
        ?.subjects.map(({ arm, ranks }) => [arm, ranks])
    t.same(subjects('lora-r3-seed7'), [
      ['lora', [3]],
      ['lora-cut-alpha-b', [1, 2, 3]],
      ['lora-cut-alpha-r', [1, 2, 3]],
      ['lora-svd', [1, 2, 3]],
    ])
    t.same(subjects('lora-r1-seed7'), [['lora', [1]]])
    t.equal(subjects('lora-r2-seed7'), undefined)
    t.same(subjects('recipe-seed7'), [['recipe', [1, 2, 3]]])
    t.same(subjects('full-seed7'), [['full', [0]]])
  },
)

t.test('the wide plan measures powers of two', async (t) => {
  const runs = planOf(options({ wide: true, maxRank: 64 }))
  t.same(
    runs.map(({ id, plan }) => [plan, id]),
    ['dylora', 'recipe', ...[64, 32, 16, 8, 4, 2, 1].map((rank) => `lora-r${rank}`)].map((name) => [
      'wide',
      `wide-${name}-seed7`,
    ]),
  )
  t.same(runs[0]?.subjects[0]?.ranks, [1, 2, 4, 8, 16, 32, 64])
  t.equal(runs[0]?.settings.maxRank, 64)
  t.same(powersOfTwo(12), [1, 2, 4, 8, 12])
  t.same(powersOfTwo(1), [1])
})

t.test('seeds come one after the other, and a filter keeps what it names', async (t) => {
  const ids = planOf(options({ seeds: [7, 8], only: ['lora-r', 'full-seed8'] })).map(({ id }) => id)
  t.same(ids, ['lora-r2-seed7', 'lora-r1-seed7', 'lora-r2-seed8', 'lora-r1-seed8', 'full-seed8'])
})

t.test('a shared learning rate is that of adapters, and no arm is without what is shared', async (t) => {
  const runs = planOf(options({ shared: { steps: 5, learningRate: 0.5, batchSize: 3 } }))
  t.equal(runs.find(({ id }) => id === 'lora-r1-seed7')?.settings.learningRate, 0.5)
  t.equal(runs.find(({ id }) => id === 'full-seed7')?.settings.learningRate, undefined)
  t.ok(runs.every(({ settings }) => settings.batchSize === 3))
})

t.test('a LoRA above the highest rank is refused', async (t) => {
  t.throws(() => planOf(options({ loraRanks: [1, 4] })), {
    code: 'validation',
    message: /--lora-ranks.*up to 2, got 4/,
  })
})

t.test('what the recipe was chosen among is tried with the first seed alone, and only when asked for', async (t) => {
  const candidates = (asked: boolean) =>
    planOf({ wide: false, candidates: asked, seeds: [1, 2], maxRank: 4, shared: { steps: 5 } }).filter(({ subjects }) =>
      subjects.some(({ family }) => family === 'candidate'),
    )
  t.same(candidates(false), [])
  t.ok(candidates(true).length > 5)
  t.ok(candidates(true).every(({ seed }) => seed === 1))
  const [recipe] = planOf({ wide: false, seeds: [1], maxRank: 4, shared: { steps: 5 }, only: ['recipe'] })
  for (const { id, settings } of candidates(true)) t.notSame(settings, recipe!.settings, id)
})
