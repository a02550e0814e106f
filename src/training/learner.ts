/** What is learnt: the factors of an adapter or every weight of a model, with the graph that gives their gradients. */
import { type LoraFactors, type ModuleKey, scalingRules } from '../dylora/adapter.ts'
import { type BaseModel, readWeight } from '../dylora/base-model.ts'
import { type TrainingGraph, trainingGraph } from '../dylora/graphs.ts'
import { cutDiagonal, loraMask, type SequenceBatch } from '../dylora/sequences.ts'
import { type ExecutionOptions, Session, type TensorData } from '../onnx/session.ts'
import { type Parameter, parameter } from './adamw.ts'
import { type RandomSource, randomSource } from './random.ts'
import { type RankPolicy, rowShares, sampleRanks, updatedRows } from './rank-sampling.ts'
import type { TrainingSettings } from './settings.ts'

/** How a step uses its parameters: the feeds beside the batch's own, and which rows move. */
export interface StepPlan {
  readonly feeds: Record<string, TensorData>
  readonly rows: (parameter: Parameter) => readonly [first: number, end: number]
  /** The rank of the step, or the largest of its examples; 0 where nothing has a rank. */
  readonly rank: number
}

export interface Learner {
  readonly session: Session
  readonly flops: TrainingGraph['flops']
  /** In the order of their gradients. */
  readonly parameters: readonly Parameter[]
  readonly gradientNames: readonly string[]
  /** `ranks`: one for each example of the batch. */
  readonly plan: (batch: SequenceBatch, ranks: readonly number[], dropout: RandomSource) => StepPlan
  readonly ranks: (step: number) => number[]
  /** The factors by layer; empty in full training. */
  readonly factors: ReadonlyMap<ModuleKey, LoraFactors>
}

export async function createLearner(
  base: BaseModel,
  settings: TrainingSettings,
  { provider, deviceId, threads }: ExecutionOptions,
): Promise<Learner> {
  const graph = trainingGraph(base, {
    learn: settings.method === 'full' ? 'full' : 'lora',
    targetModules: settings.targetModules,
    batch: settings.batchSize,
    labelSmoothing: settings.labelSmoothing,
    loraDropout: settings.method === 'full' ? 0 : settings.dropout,
    distillation: settings.method === 'dylora' && settings.distillation > 0,
  })
  const { model, externalDataDirectory } = graph
  const session = await Session.create(model, { externalDataDirectory, provider, deviceId, threads })
  return settings.method === 'full' ? fullLearner(base, graph, session) : loraLearner(graph, session, settings)
}

async function fullLearner(base: BaseModel, { learned, flops }: TrainingGraph, session: Session): Promise<Learner> {
  const parameters: Parameter[] = []
  for (const { name, shape } of learned) {
    const data = await readWeight(base, name)
    parameters.push(parameter(name, data, data.length, shape.length > 1))
  }
  const feeds = Object.fromEntries(
    parameters.map(({ name, data }, i) => [name, tensor(learned[i]?.shape as number[], data)]),
  )
  return {
    session,
    flops,
    parameters,
    gradientNames: learned.map(({ gradient }) => gradient),
    ranks: () => [],
    plan: () => ({ feeds, rank: 0, rows: () => [0, 1] }),
    factors: new Map(),
  }
}

function loraLearner(graph: TrainingGraph, session: Session, settings: TrainingSettings): Learner {
  const policy: RankPolicy = {
    method: settings.method === 'lora' ? 'lora' : 'dylora',
    maxRank: settings.maxRank,
    distribution: settings.distribution,
    per: settings.rankPer,
    draw: settings.rankDraw,
    maxRankShare: settings.maxRankShare,
    update: settings.update,
  }
  const factors = initialFactors(graph, settings)
  const rates = rowRates(policy, settings.rowLrExponent)
  const parameters = graph.adapted.flatMap(({ key, inputA, inputB }) => {
    const { loraA, loraB, inFeatures, outFeatures } = factors.get(key) as LoraFactors
    const [a, b] = [parameter(inputA, loraA, inFeatures, true), parameter(inputB, loraB, outFeatures, true)]
    a.rowRates.set(rates)
    b.rowRates.set(rates.map((rate) => rate * settings.loraplusLrRatio))
    return [a, b]
  })
  const diagonalAt = objectives[settings.objective](
    (rank) => scalingRules[settings.scaling](settings.alpha, rank, settings.maxRank),
    settings.maxRank,
  )
  return {
    session,
    flops: graph.flops,
    parameters,
    gradientNames: graph.learned.map(({ gradient }) => gradient),
    factors,
    ranks: (step) => sampleRanks(policy, settings.batchSize, settings.seed, step),
    plan: ({ tokens }, ranks, dropout) => {
      const diagonals = ranks.map(diagonalAt)
      const rank = Math.max(...diagonals.map(({ length }) => length))
      return {
        rank,
        rows: () => updatedRows(policy, rank),
        feeds: {
          lora_mask: loraMask(tokens, rank, diagonals),
          ...Object.fromEntries(parameters.map((factor) => [factor.name, cut(factor, rank)])),
          ...dropoutFeeds(graph, tokens, settings.dropout, dropout),
        },
      }
    },
  }
}

type Diagonal = (rank: number) => readonly number[]

/** How an example that drew a rank scales its ranks: cut there, or by the sum of all cuts at once (MatryoshkaLoRA, arXiv 2605.07850). */
const objectives: Readonly<
  Record<TrainingSettings['objective'], (scaling: (rank: number) => number, maxRank: number) => Diagonal>
> = {
  sampled: (scaling) => (rank) => cutDiagonal(rank, scaling(rank)),
  matryoshka: (scaling, maxRank) => {
    const cuts = Array.from({ length: maxRank }, (_, i) => cutDiagonal(i + 1, scaling(i + 1)))
    const sum = Array.from({ length: maxRank }, (_, row) => cuts.reduce((total, cut) => total + (cut[row] ?? 0), 0))
    return () => sum
  },
}

/** Rows that are drawn seldom learn faster: their share of the draws to the power of -exponent. */
const rowRates = (policy: RankPolicy, exponent: number): number[] =>
  rowShares(policy).map((share) => share ** -exponent)

/** The first `rank` rows of a factor, as a view. */
function cut({ data, rowLength }: Parameter, rank: number): TensorData {
  return tensor([rank, rowLength], data.subarray(0, rank * rowLength))
}

const tensor = (shape: readonly number[], data: Float32Array): TensorData => ({ dtype: 'float32', shape, data })

/** A uniform in ±1/√in, as loralib's Kaiming initialisation comes to; B zero, so that training starts at the base model. */
function initialFactors({ adapted }: TrainingGraph, { maxRank, seed }: TrainingSettings): Map<ModuleKey, LoraFactors> {
  return new Map(
    adapted.map(({ key, inFeatures, outFeatures }, index) => {
      const random = randomSource(seed, 'initialization', index)
      const bound = 1 / Math.sqrt(inFeatures)
      const loraA = Float32Array.from({ length: maxRank * inFeatures }, () => bound * (2 * random.next() - 1))
      return [key, { inFeatures, outFeatures, loraA, loraB: new Float32Array(maxRank * outFeatures) }]
    }),
  )
}

function dropoutFeeds(
  { dropoutMasks }: TrainingGraph,
  tokens: number,
  probability: number,
  random: RandomSource,
): Record<string, TensorData> {
  return Object.fromEntries(
    dropoutMasks.map(({ name, width }) => {
      const data = Uint8Array.from({ length: tokens * width }, () => Number(random.next() >= probability))
      return [name, { dtype: 'bool', shape: [tokens, width], data }]
    }),
  )
}
