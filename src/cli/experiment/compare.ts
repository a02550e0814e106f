/** Paired bootstrap of every one-for-all training against the LoRA trained for the rank. */
import { pairedComparison, type ScoreOf, scoreOfCounts } from '../../evaluation/bootstrap.ts'
import { countsOf, type MetricName, metrics } from '../../evaluation/metrics.ts'
import type { ReferenceGroup } from '../../evaluation/references.ts'
import { loraArm, nestedArms } from './arms.ts'
import type { Comparison, MeasuredRun } from './results.ts'

/** The texts of an arm of a run at a rank. */
export type TextsOf = (run: MeasuredRun, arm: string, rank: number) => Promise<readonly string[]>

interface Pair {
  readonly arm: MeasuredRun
  readonly lora: MeasuredRun
}

/** Both sides are the mean over the seeds that both have. */
export async function comparisonsOf(
  runs: readonly MeasuredRun[],
  groups: readonly ReferenceGroup[],
  metricName: MetricName,
  textsOf: TextsOf,
): Promise<Comparison[]> {
  const metric = metrics[metricName]
  const references = groups.map((group) => group.references)
  const scores = async (side: readonly MeasuredRun[], arm: string, rank: number): Promise<ScoreOf> => {
    const counts = await Promise.all(
      side.map(async (run) => countsOf(metric, await textsOf(run, arm, rank), references)),
    )
    const scoresOf = counts.map((rows) => scoreOfCounts(rows, metric.combine))
    return (indices) => scoresOf.reduce((sum, of) => sum + of(indices), 0) / scoresOf.length
  }
  const comparisons: Comparison[] = []
  for (const plan of ['main', 'wide'] as const) {
    const ofPlan = runs.filter((run) => run.plan === plan)
    for (const { id: arm } of nestedArms) {
      for (const rank of ranksOf(ofPlan, arm)) {
        const pairs = pairsOf(ofPlan, arm, rank)
        if (pairs.length === 0) continue
        const [a, b] = [
          await scores(
            pairs.map((pair) => pair.arm),
            arm,
            rank,
          ),
          await scores(
            pairs.map((pair) => pair.lora),
            loraArm.id,
            rank,
          ),
        ]
        const { difference, ci95, pValue } = pairedComparison(groups.length, a, b, metric)
        const [low, high] = ci95
        comparisons.push({
          plan,
          arm,
          rank,
          metric: metricName,
          seeds: pairs.length,
          difference,
          ci95: [low, high],
          pValue,
        })
      }
    }
  }
  return comparisons
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
