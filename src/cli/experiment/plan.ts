/** The plan of an experiment: which trainings, with which settings, and what is measured of each. Pure. */
import { errors } from '../../errors.ts'
import { TrainingSettings } from '../../training/settings.ts'
import { candidateArms, cutArms, type Family, fullArm, loraArm, type NestedArm, nestedArms, plainLora } from './arms.ts'

/** `main` compares everything at one highest rank; `wide` a training of many ranks with LoRA at powers of two. */
export type PlanName = 'main' | 'wide'

/** What is measured of a training: an arm of the comparison, at some of its ranks. 0 is the model as it is. */
interface Subject {
  readonly arm: string
  readonly label: string
  readonly family: Family
  readonly ranks: readonly number[]
}

/** One training. */
export interface Run {
  /** `<name>-seed<seed>`, which is the name of its directory. */
  readonly id: string
  readonly plan: PlanName
  readonly seed: number
  readonly settings: TrainingSettings
  readonly subjects: readonly Subject[]
}

export interface PlanOptions {
  readonly wide: boolean
  /** Also what the recipe was chosen among, for the first seed. */
  readonly candidates?: boolean
  readonly seeds: readonly number[]
  readonly maxRank: number
  /** Ranks that a LoRA is trained for; every one (wide: powers of two) unless given. The highest is always among them. */
  readonly loraRanks?: readonly number[] | undefined
  /** What all trainings share, of the settings. */
  readonly shared: Partial<TrainingSettings>
  /** Only runs whose id contains one of these; all without any. */
  readonly only?: readonly string[]
}

/** Seed by seed, so that the first whole comparison comes early. */
export function planOf(options: PlanOptions): Run[] {
  const { seeds, only = [], shared, maxRank } = options
  const plan: PlanName = options.wide ? 'wide' : 'main'
  const ranks = options.wide ? powersOfTwo(maxRank) : Array.from({ length: maxRank }, (_, i) => i + 1)
  const loraRanks = [...new Set([...(options.loraRanks ?? ranks), maxRank])].sort((a, b) => a - b)
  const stray = loraRanks.find((rank) => rank > maxRank)
  if (stray !== undefined) throw errors.validation(`--lora-ranks: expected ranks up to ${maxRank}, got ${stray}`)
  const drafts = options.wide ? wideDrafts(ranks, loraRanks) : mainDrafts(ranks, loraRanks)
  const tried = options.candidates ? nestedDrafts(ranks, '', candidateArms) : []
  const runs = seeds.flatMap((seed, i) =>
    [...drafts, ...(i === 0 ? tried : [])].map((draft) => runOf(draft, plan, seed, shared)),
  )
  return only.length === 0 ? runs : runs.filter(({ id }) => only.some((part) => id.includes(part)))
}

/** 1, 2, 4, ... and the highest. */
export function powersOfTwo(highest: number): number[] {
  const powers = Array.from({ length: Math.floor(Math.log2(highest)) + 1 }, (_, i) => 2 ** i)
  return powers.at(-1) === highest ? powers : [...powers, highest]
}

interface Draft {
  readonly name: string
  readonly settings: Partial<TrainingSettings>
  readonly subjects: readonly Subject[]
}

const mainDrafts = (ranks: readonly number[], loraRanks: readonly number[]): Draft[] => [
  ...nestedDrafts(ranks, ''),
  ...loraDrafts(ranks, loraRanks, ''),
  {
    name: fullArm.id,
    settings: { method: 'full' },
    subjects: [{ arm: fullArm.id, label: fullArm.label, family: 'full', ranks: [0] }],
  },
]

/** Of the nested trainings only the paper's method and the recipe. */
const wideDrafts = (ranks: readonly number[], loraRanks: readonly number[]): Draft[] => [
  ...nestedDrafts(ranks, 'wide-').filter(({ name }) => ['wide-dylora', 'wide-recipe'].includes(name)),
  ...loraDrafts(ranks, loraRanks, 'wide-'),
]

const nestedDrafts = (ranks: readonly number[], prefix: string, arms: readonly NestedArm[] = nestedArms): Draft[] =>
  arms.map(({ id, label, family, settings }) => ({
    name: `${prefix}${id}`,
    settings: { method: 'dylora', maxRank: Math.max(...ranks), ...settings },
    subjects: [{ arm: id, label, family, ranks }],
  }))

/** The highest is cut too. The highest first: everything else is compared with it. */
const loraDrafts = (ranks: readonly number[], loraRanks: readonly number[], prefix: string): Draft[] =>
  loraRanks.toReversed().map((rank) => ({
    name: `${prefix}lora-r${rank}`,
    settings: { ...plainLora, method: 'lora', maxRank: rank },
    subjects: [
      { arm: loraArm.id, label: loraArm.label, family: 'lora', ranks: [rank] },
      ...(rank < Math.max(...ranks) ? [] : cutArms.map(({ id, label }) => cutSubject(id, label, ranks))),
    ],
  }))

const cutSubject = (arm: string, label: string, ranks: readonly number[]): Subject => ({
  arm,
  label,
  family: 'cut',
  ranks,
})

/** A learning rate that all share is that of adapters; full training has its own. */
function runOf(
  { name, settings, subjects }: Draft,
  plan: PlanName,
  seed: number,
  shared: Partial<TrainingSettings>,
): Run {
  const { learningRate, ...rest } = shared
  const rate = settings.method === 'full' || learningRate === undefined ? {} : { learningRate }
  return {
    id: `${name}-seed${seed}`,
    plan,
    seed,
    settings: TrainingSettings.parse({ ...rest, ...rate, ...settings, seed }),
    subjects,
  }
}
