/** Paired bootstrap of every one-for-all training against the LoRA trained for the rank. */
import { pairedComparison, type ScoreOf, scoreOfCounts } from '../../evaluation/bootstrap.ts'
import { countsOf, type MetricName, metrics } from '../../evaluation/metrics.ts'
import type { ReferenceGroup } from '../../evaluation/references.ts'
import { loraArm, nestedArms } from './arms.ts'
import type { PlanName } from './plan.ts'
import type { Comparison, MeasuredRun } from './results.ts'

/** The texts of an arm of a run at a rank. */
export type TextsOf = (run: MeasuredRun, arm: string, rank: number) => Promise<readonly string[]>

interface Pair {
  readonly arm: MeasuredRun
  readonly lora: MeasuredRun
}

/** An arm at a rank, in all seeds that have its LoRA too. */
interface Question {
  readonly plan: PlanName
  readonly arm: string
  readonly rank: number
  readonly pairs: readonly Pair[]
}

export type Compare = (runs: readonly MeasuredRun[]) => Promise<Comparison[]>

/**
 * Compares all that can be; both sides are the mean over the seeds that both have. Bootstrap takes its time, so answers are
 * kept for the next call: texts of a training that was measured must not change in between.
 */
export function comparer(groups: readonly ReferenceGroup[], metricName: MetricName, textsOf: TextsOf): Compare {
  const metric = metrics[metricName]
  const references = groups.map((group) => group.references)
  const answers = new Map<string, Comparison>()
  const meanScore = async (runs: readonly MeasuredRun[], arm: string, rank: number): Promise<ScoreOf> => {
    const counts = await Promise.all(
      runs.map(async (run) => countsOf(metric, await textsOf(run, arm, rank), references)),
    )
    const scores = counts.map((rows) => scoreOfCounts(rows, metric.combine))
    return (indices) => scores.reduce((sum, score) => sum + score(indices), 0) / scores.length
  }
  const answer = async ({ plan, arm, rank, pairs }: Question): Promise<Comparison> => {
    const [own, lora] = [pairs.map((pair) => pair.arm), pairs.map((pair) => pair.lora)]
    const sides = [await meanScore(own, arm, rank), await meanScore(lora, loraArm.id, rank)] as const
    const { difference, ci95, pValue } = pairedComparison(groups.length, ...sides, metric)
    const [low, high] = ci95
    return { plan, arm, rank, metric: metricName, seeds: pairs.length, difference, ci95: [low, high], pValue }
  }
  return async (runs) => {
    const comparisons: Comparison[] = []
    for (const question of questionsOf(runs)) {
      const { plan, arm, rank, pairs } = question
      const key = [plan, arm, rank, ...pairs.map((pair) => pair.arm.id)].join(' ')
      const found = answers.get(key) ?? (await answer(question))
      answers.set(key, found)
      comparisons.push(found)
    }
    return comparisons
  }
}

function questionsOf(runs: readonly MeasuredRun[]): Question[] {
  return (['main', 'wide'] as const).flatMap((plan) => {
    const ofPlan = runs.filter((run) => run.plan === plan)
    return nestedArms.flatMap(({ id: arm }) =>
      ranksOf(ofPlan, arm)
        .map((rank): Question => ({ plan, arm, rank, pairs: pairsOf(ofPlan, arm, rank) }))
        .filter(({ pairs }) => pairs.length > 0),
    )
  })
}

const has = (run: MeasuredRun, arm: string, rank: number): boolean =>
  run.measured.some((point) => point.arm === arm && point.rank === rank)

function ranksOf(runs: readonly MeasuredRun[], arm: string): number[] {
  const ranks = runs.flatMap(({ measured }) => measured.filter((point) => point.arm === arm).map(({ rank }) => rank))
  return [...new Set(ranks)].sort((a, b) => a - b)
}

function pairsOf(runs: readonly MeasuredRun[], arm: string, rank: number): Pair[] {
  return runs
    .filter((run) => has(run, arm, rank))
    .flatMap((run) => {
      const lora = runs.find(({ seed, ...other }) => seed === run.seed && has({ seed, ...other }, loraArm.id, rank))
      return lora === undefined ? [] : [{ arm: run, lora }]
    })
}
