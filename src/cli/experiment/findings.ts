/** Sentences that a report concludes with, computed from the results: what holds, what does not, and what was not measured. */
import { counted, listed, rankList, signed } from './markdown.ts'
import { paperTimes, paperTopRankLoss } from './paper.ts'
import type { PlanName } from './plan.ts'
import type { Comparison, Cost, Results } from './results.ts'
import {
  type ArmSummary,
  armsOf,
  auracOf,
  type CurvePoint,
  comparisonOf,
  costOf,
  curveOf,
  spreadOf,
  topLoraCost,
} from './summary.ts'

const bleu = ({ metrics }: { metrics: Readonly<Record<string, number>> }): number => metrics.bleu ?? Number.NaN

/** One sentence or more for each question; a question whose runs are missing has none. */
export function findings(results: Results, plan: PlanName): string[] {
  const arms = armsOf(results, plan)
  const lora = arms.find(({ family }) => family === 'lora')
  const nested = arms.filter(({ family }) => family === 'dylora' || family === 'recipe')
  const cuts = arms.filter(({ family }) => family === 'cut')
  return [
    ...nested.map((arm) => flatness(results, plan, arm, lora)),
    ...cuts.map((arm) => flatness(results, plan, arm, lora)),
    ...nested.flatMap((arm) => trainingCost(results, plan, arm, lora)),
    ...nested.flatMap((arm) => topRank(results, plan, arm)),
    ...nested.flatMap((arm) => everyRank(results, plan, arm, lora)),
    ...bestArm(results, plan, arms),
    ...ablation(results, plan, nested),
    ...search(results, plan),
    ...fullTraining(results, plan, arms, lora),
  ]
}

function flatness(results: Results, plan: PlanName, arm: ArmSummary, lora: ArmSummary | undefined): string {
  const curve = curveOf(results, plan, arm.arm, bleu)
  const [low, high] = [lowest(curve), highest(curve)]
  const range = `${low.mean.toFixed(2)} (rank ${low.rank}) to ${high.mean.toFixed(2)} (rank ${high.rank})`
  const own = `**Flatness.** ${arm.label}: BLEU over the ranks goes from ${range}, a spread of ${spreadOf(curve).toFixed(2)}`
  const reference = lora && curveOf(results, plan, lora.arm, bleu)
  if (reference === undefined || reference.length < 2) return `${own}.`
  const than = spreadOf(curve) <= spreadOf(reference) ? 'no wider than' : 'wider than'
  return `${own}, ${than} that of LoRA trained for each rank (${spreadOf(reference).toFixed(2)}).`
}

const lowest = (curve: readonly CurvePoint[]): CurvePoint => curve.reduce((a, b) => (b.mean < a.mean ? b : a))
const highest = (curve: readonly CurvePoint[]): CurvePoint => curve.reduce((a, b) => (b.mean > a.mean ? b : a))

const times = (a: Cost, b: Cost, name: 'flops' | 'seconds' | 'processorSeconds'): string =>
  (a[name] / b[name]).toFixed(2)

function trainingCost(results: Results, plan: PlanName, arm: ArmSummary, lora: ArmSummary | undefined): string[] {
  const own = costOf(results, plan, arm)
  const one = topLoraCost(results, plan)
  const all = lora && costOf(results, plan, lora)
  if (!own || !one) return []
  const price = `**Price.** One training of ${arm.label} takes ${times(own.cost, one, 'flops')} times the FLOPs and ${times(own.cost, one, 'seconds')} times the time of one LoRA at the top rank (processor time: ${times(own.cost, one, 'processorSeconds')} times)`
  if (!all || all.trainings < 2) return [`${price}.`]
  const saved = `${times(all.cost, own.cost, 'flops')} times its FLOPs and ${times(all.cost, own.cost, 'seconds')} times its time`
  return [
    `${price}; the ${all.trainings} trainings of LoRA for ranks ${rankList(lora?.ranks ?? [])} together take ${saved}.`,
  ]
}

/** What an interval says of the arm. */
export function verdict({ ci95: [low, high] }: Pick<Comparison, 'ci95'>): string {
  if (low > 0) return 'better'
  return high < 0 ? 'worse' : 'not told apart'
}

function topRank(results: Results, plan: PlanName, { arm, label, ranks }: ArmSummary): string[] {
  const rank = ranks.at(-1) ?? 0
  const comparison = comparisonOf(results, plan, arm, rank)
  if (comparison === undefined) return []
  const { difference, ci95, seeds } = comparison
  const interval = `95 % interval ${signed(ci95[0], 2)} to ${signed(ci95[1], 2)}, ${counted(seeds, 'seed')}`
  return [
    `**Top rank.** At rank ${rank}, ${label} is ${signed(difference, 2)} BLEU from LoRA trained for it (${interval}): ${verdict(comparison)}. The paper's DyLoRA is ${signed(-paperTopRankLoss, 2)} there, on its base.`,
  ]
}

function everyRank(results: Results, plan: PlanName, arm: ArmSummary, lora: ArmSummary | undefined): string[] {
  if (lora === undefined) return []
  const both = arm.ranks.filter((rank) => lora.ranks.includes(rank))
  const compared = both.flatMap((rank) => comparisonOf(results, plan, arm.arm, rank) ?? [])
  if (compared.length === 0) return []
  const [own, theirs] = [arm, lora].map(
    (one) => new Map(curveOf(results, plan, one.arm, ({ loss }) => loss).map(({ rank, mean }) => [rank, mean])),
  )
  const lower = compared.filter(({ rank }) => (own?.get(rank) ?? Number.NaN) <= (theirs?.get(rank) ?? Number.NaN))
  const ranksWhere = (wanted: string) => {
    const found = compared.filter((comparison) => verdict(comparison) === wanted).map(({ rank }) => String(rank))
    return found.length === 0 ? 'none' : listed(found)
  }
  const atLeast = compared.filter(({ difference }) => difference >= 0).length
  return [
    `**Every rank.** ${arm.label} has at least the BLEU of LoRA trained for the rank at ${atLeast} of ${compared.length} ranks, and at most its validation loss at ${lower.length}. By the intervals it is better at ranks: ${ranksWhere('better')}; worse at: ${ranksWhere('worse')}; not told apart at: ${ranksWhere('not told apart')}.`,
  ]
}

function bestArm(results: Results, plan: PlanName, arms: readonly ArmSummary[]): string[] {
  const compared = arms.filter(({ family }) => family !== 'candidate')
  const ranked = compared.flatMap(({ arm, label }) => {
    const value = auracOf(results, plan, arm, bleu)
    return value === null ? [] : [{ label, value }]
  })
  if (ranked.length < 2) return []
  const order = ranked.toSorted((a, b) => b.value - a.value).map(({ label, value }) => `${label} ${value.toFixed(2)}`)
  return [`**Over all ranks** (AURAC of BLEU, the best first): ${order.join('; ')}.`]
}

function ablation(results: Results, plan: PlanName, nested: readonly ArmSummary[]): string[] {
  const area = (arm: string) => auracOf(results, plan, arm, bleu)
  const pairs = [
    ['dylora', 'dylora-frozen', 'Updating all rows', 'the frozen update'],
    ['dylora', 'dylora-geometric', 'Uniform sampling', 'geometric sampling'],
  ] as const
  return pairs.flatMap(([a, b, one, other]) => {
    const [x, y] = [area(a), area(b)]
    if (x === null || y === null || nested.length === 0) return []
    return [
      `**Ablation.** ${one} has ${signed(x - y, 2)} AURAC against ${other}; the paper found the first better over all ranks.`,
    ]
  })
}

/** The recipe and what it was chosen among, of the seed that they share. */
function search(results: Results, plan: PlanName): string[] {
  const seed = results.runs.find(({ subjects }) => subjects.some(({ family }) => family === 'candidate'))?.seed
  const ofSeed = { ...results, runs: results.runs.filter((run) => run.seed === seed) }
  const losses = armsOf(ofSeed, plan)
    .filter(({ family }) => family === 'candidate' || family === 'recipe')
    .map(({ arm, label }) => ({ label, area: auracOf(ofSeed, plan, arm, ({ loss }) => loss) ?? Number.NaN }))
  if (seed === undefined || losses.length < 2) return []
  const order = losses.toSorted((a, b) => a.area - b.area).map(({ label, area }) => `${label} ${area.toFixed(4)}`)
  return [`**Search** (seed ${seed} alone, AURAC of the validation loss, the best first): ${order.join('; ')}.`]
}

function fullTraining(
  results: Results,
  plan: PlanName,
  arms: readonly ArmSummary[],
  lora: ArmSummary | undefined,
): string[] {
  const [full] = arms.filter(({ family }) => family === 'full').flatMap(({ arm }) => curveOf(results, plan, arm, bleu))
  const top = lora && curveOf(results, plan, lora.arm, bleu).at(-1)
  if (full === undefined || top === undefined) return []
  return [
    `**Full fine-tuning** reaches ${full.mean.toFixed(2)} BLEU, ${signed(full.mean - top.mean, 2)} from LoRA at rank ${top.rank}.`,
  ]
}

/** What the paper measured of cost, beside the numbers above. */
export const paperCost = (): string =>
  `The paper measured ${paperTimes.dylora} s for DyLoRA of ${paperTimes.ranks} ranks and ${paperTimes.lora} s for one LoRA on MRPC (its appendix A), ${(paperTimes.dylora / paperTimes.lora).toFixed(2)} times; its "4 to 7 times" counts trainings.`
