/** `dylora bench lora`: what the low-rank branches cost a step, by rank, by adapted modules; and what does not cost. */
import { type Adapter, type TargetModule, targetModules } from '../../dylora/adapter.ts'
import type { BaseModel } from '../../dylora/base-model.ts'
import type { Weights } from '../../inference/lora-packing.ts'
import { BareLoop, baseOnly } from './bare-loop.ts'
import { atMost, type Findings, median, type Row, spreadOf, type Table } from './report.ts'
import { type Case, inRounds } from './rounds.ts'
import type { BenchOptions } from './scale.ts'
import { syntheticAdapter } from './synthetic-adapter.ts'
import { withSyntheticBase } from './synthetic-base.ts'

const queryAndValue: readonly TargetModule[] = ['q_proj', 'v_proj']
const moduleSets: readonly (readonly TargetModule[])[] = [
  ['q_proj'],
  queryAndValue,
  ['q_proj', 'k_proj', 'v_proj', 'o_proj'],
  targetModules,
]

interface Timed {
  readonly batch: number
  readonly label: string
  /** Label of the case that this one is divided by. */
  readonly against: string
}

interface Subject extends BenchOptions {
  readonly base: BaseModel
}

export function benchLora(options: BenchOptions): Promise<Findings> {
  return withSyntheticBase(options.scale.shape, async (base) => {
    const subject = { ...options, base }
    const byRank = await ranks(subject)
    const byModules = await modules(subject)
    const constant = await whatCostsNothing(subject)
    const ratioOf = (table: Table, named: string) =>
      Math.max(...table.rows.flatMap((row) => (row.case === named ? [Number(row.ratio)] : [])))
    return {
      tables: [byRank, byModules, constant],
      goals: [
        ...options.scale.ranks
          .filter((rank) => rank <= 16)
          .map((rank) =>
            atMost(`a step at rank ${rank}, of a graph without branches`, 1.05, ratioOf(byRank, `rank ${rank}`)),
          ),
        atMost('base traffic in a graph with branches, of one without', 1.03, ratioOf(byRank, 'base traffic')),
        atMost('a step with the largest cache, of one with the smallest', 1.05, ratioOf(constant, 'largest cache')),
        atMost('a step after a change of rank, of one without', 1.05, ratioOf(constant, 'rank changes each step')),
      ],
    }
  })
}

const rowsOf = (batch: number, weights: Weights): Weights[] => Array.from({ length: batch }, () => weights)

const adapterOf = (base: BaseModel, ranks: readonly number[], modules: readonly TargetModule[]): Adapter =>
  syntheticAdapter(base, { name: `rank-${Math.max(...ranks)}`, ranks, targetModules: modules })

/** Median milliseconds of each case, and their ratio to the case that it is compared with, at the same batch. */
async function compared(rounds: number, cases: readonly Case<Timed>[]): Promise<Row[]> {
  const measured = await inRounds(rounds, cases)
  return measured.map(({ what: { batch, label, against }, samples }) => {
    const other = measured.find(({ what }) => what.batch === batch && what.label === against)
    const ratio = median(samples) / median(other?.samples ?? [])
    return { streams: batch, case: label, ratio, ...spreadOf(samples, 'ms') }
  })
}

const batchesOf = ({ crowd }: BenchOptions['scale']): number[] => [1, crowd]

async function ranks({ base, threads, rounds, scale }: Subject): Promise<Table> {
  const shared = { base, threads, slots: scale.crowd, capacity: scale.shape.positions }
  const plain = await BareLoop.create({ ...shared, targetModules: [] })
  const branched = await BareLoop.create({ ...shared, targetModules: queryAndValue })
  const adapter = adapterOf(base, scale.ranks, queryAndValue)
  const against = 'no branches'
  const cases = batchesOf(scale).flatMap((batch): Case<Timed>[] => {
    const measure = (loop: BareLoop, weights: Weights) => () =>
      loop.steps(scale.steps, rowsOf(batch, weights), scale.promptTokens)
    return [
      { what: { batch, label: against, against }, measure: measure(plain, baseOnly) },
      { what: { batch, label: 'base traffic', against }, measure: measure(branched, baseOnly) },
      ...scale.ranks.map((rank) => ({
        what: { batch, label: `rank ${rank}`, against },
        measure: measure(branched, { adapter, rank }),
      })),
    ]
  })
  const rows = await compared(rounds, cases)
  plain.close()
  branched.close()
  return { title: 'Cost of a rank', note: 'one adapter on q and v; a decode step of the bare model', rows }
}

async function modules({ base, threads, rounds, scale }: Subject): Promise<Table> {
  const rank = Math.min(8, Math.max(...scale.ranks))
  const rows: Row[] = []
  for (const set of moduleSets) {
    const shared = { base, threads, slots: scale.crowd, capacity: scale.shape.positions }
    const plain = await BareLoop.create({ ...shared, targetModules: [] })
    const branched = await BareLoop.create({ ...shared, targetModules: set })
    const adapter = adapterOf(base, [rank], set)
    const [against, label] = ['no branches', `${set.length}: ${set.join(' ')}`]
    const cases = batchesOf(scale).flatMap((batch): Case<Timed>[] => [
      {
        what: { batch, label: against, against },
        measure: () => plain.steps(scale.steps, rowsOf(batch, baseOnly), scale.promptTokens),
      },
      {
        what: { batch, label, against },
        measure: () => branched.steps(scale.steps, rowsOf(batch, { adapter, rank }), scale.promptTokens),
      },
    ])
    rows.push(...(await compared(rounds, cases)).filter((row) => row.case === label))
    plain.close()
    branched.close()
  }
  return {
    title: 'Cost of adapted modules',
    note: `rank ${rank}, of a graph without branches in the same rounds`,
    rows,
  }
}

/** The capacity of the cache, and changes of the rank from step to step. */
async function whatCostsNothing({ base, threads, rounds, scale }: Subject): Promise<Table> {
  const { positions } = scale.shape
  const shared = { base, threads, slots: scale.crowd, targetModules: queryAndValue }
  const capacities = [positions / 4, positions]
  const [small, large] = [
    await BareLoop.create({ ...shared, capacity: capacities[0]! }),
    await BareLoop.create({ ...shared, capacity: capacities[1]! }),
  ]
  const adapter = adapterOf(base, [2, 4], queryAndValue)
  const cases = batchesOf(scale).flatMap((batch): Case<Timed>[] => {
    const on = (loop: BareLoop, rank: (step: number) => number) => async () => {
      const times: number[] = []
      for (let step = 0; step < scale.steps; step++) {
        times.push(await loop.step(rowsOf(batch, { adapter, rank: rank(step) }), scale.promptTokens + step))
      }
      return times.slice(1)
    }
    return [
      { what: { batch, label: 'smallest cache', against: 'smallest cache' }, measure: on(small, () => 4) },
      { what: { batch, label: 'largest cache', against: 'smallest cache' }, measure: on(large, () => 4) },
      {
        what: { batch, label: 'rank changes each step', against: 'largest cache' },
        measure: on(large, (step) => 4 - 2 * (step % 2)),
      },
    ]
  })
  const rows = await compared(rounds, cases)
  small.close()
  large.close()
  return {
    title: 'What costs nothing',
    note: `caches of ${capacities.join(' and ')} positions a slot; ranks 4 and 2 in turn, of rank 4 alone`,
    rows,
  }
}
