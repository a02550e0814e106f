/** From results to the numbers that are told: means and deviations over the seeds, by arm and rank, and what trainings cost. */
import { aurac } from '../../evaluation/aurac.ts'
import type { Family } from './arms.ts'
import type { PlanName } from './plan.ts'
import type { Comparison, Cost, Measured, MeasuredRun, Results } from './results.ts'

interface Cell {
  readonly mean: number
  /** Of the sample; null of a single seed. */
  readonly deviation: number | null
  readonly seeds: number
}

export interface CurvePoint extends Cell {
  readonly rank: number
}

export interface ArmSummary {
  readonly arm: string
  readonly label: string
  readonly family: Family
  /** Ascending. */
  readonly ranks: readonly number[]
}

/** Of a plan, in the order of first appearance. */
export function armsOf({ runs }: Results, plan: PlanName): ArmSummary[] {
  const arms = new Map<string, ArmSummary>()
  for (const { arm, label, family, ranks } of runs.filter((run) => run.plan === plan).flatMap((run) => run.subjects)) {
    const all = new Set([...(arms.get(arm)?.ranks ?? []), ...ranks])
    arms.set(arm, { arm, label, family, ranks: [...all].sort((a, b) => a - b) })
  }
  return [...arms.values()]
}

export type Quantity = (point: Measured) => number

/** The mean of an arm at each of its ranks. */
export function curveOf({ runs }: Results, plan: PlanName, arm: string, quantity: Quantity): CurvePoint[] {
  const points = runs.filter((run) => run.plan === plan).flatMap(({ measured }) => measured)
  const ofArm = points.filter((point) => point.arm === arm)
  const ranks = [...new Set(ofArm.map(({ rank }) => rank))].sort((a, b) => a - b)
  return ranks.map((rank) => ({ rank, ...cellOf(ofArm.filter((point) => point.rank === rank).map(quantity)) }))
}

/**
 * AURAC of an arm's mean curve; null where it has no rank above 0. Over the ranks that LoRA was trained for, where those are
 * two or more, so that all arms are told at the same points.
 */
export function auracOf(results: Results, plan: PlanName, arm: string, quantity: Quantity): number | null {
  const common = armsOf(results, plan).find(({ family }) => family === 'lora')?.ranks ?? []
  const ranked = curveOf(results, plan, arm, quantity).filter(({ rank }) => rank > 0)
  const shared = ranked.filter(({ rank }) => common.length < 2 || common.includes(rank))
  return shared.length === 0 ? null : aurac(shared.map(({ rank, mean }) => ({ rank, value: mean })))
}

function cellOf(values: readonly number[]): Cell {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  return { mean, deviation: values.length < 2 ? null : Math.sqrt(squares / (values.length - 1)), seeds: values.length }
}

/** The largest mean less the smallest. */
export const spreadOf = (curve: readonly CurvePoint[]): number =>
  Math.max(...curve.map(({ mean }) => mean)) - Math.min(...curve.map(({ mean }) => mean))

export interface ArmCost {
  /** Trainings that give the arm at all of its ranks, for one seed. */
  readonly trainings: number
  /** Of all of them together, the mean over the seeds. */
  readonly cost: Cost
}

/** What it takes to have the arm at all of its ranks; null where no seed has them all. */
export function costOf(results: Results, plan: PlanName, { arm, ranks }: ArmSummary): ArmCost | null {
  const gives = (run: MeasuredRun) => ranks.some((rank) => covers(run, arm, rank))
  const runs = results.runs.filter((run) => run.plan === plan && gives(run))
  const seeds = [...new Set(runs.map(({ seed }) => seed))].map((seed) => runs.filter((run) => run.seed === seed))
  const whole = seeds.filter((ofSeed) => ranks.every((rank) => ofSeed.some((run) => covers(run, arm, rank))))
  const [first] = whole
  if (first === undefined) return null
  const sums = whole.map((ofSeed) => ofSeed.map(({ cost }) => cost).reduce(added))
  return { trainings: first.length, cost: scaled(sums.reduce(added), 1 / sums.length) }
}

const covers = ({ measured }: MeasuredRun, arm: string, rank: number): boolean =>
  measured.some((point) => point.arm === arm && point.rank === rank)

const combined = (combine: (name: keyof Cost) => number): Cost => ({
  steps: combine('steps'),
  tokens: combine('tokens'),
  flops: combine('flops'),
  seconds: combine('seconds'),
  processorSeconds: combine('processorSeconds'),
})

const added = (a: Cost, b: Cost): Cost => combined((name) => a[name] + b[name])

const scaled = (cost: Cost, by: number): Cost => combined((name) => cost[name] * by)

/** The one training of LoRA at the top rank, the price that others are compared with; null where it is missing. */
export function topLoraCost(results: Results, plan: PlanName): Cost | null {
  const lora = armsOf(results, plan).find(({ family }) => family === 'lora')
  const top = lora?.ranks.at(-1)
  return lora === undefined || top === undefined
    ? null
    : (costOf(results, plan, { ...lora, ranks: [top] })?.cost ?? null)
}

export const comparisonOf = (results: Results, plan: PlanName, arm: string, rank: number): Comparison | undefined =>
  results.comparisons.find((one) => one.plan === plan && one.arm === arm && one.rank === rank)
