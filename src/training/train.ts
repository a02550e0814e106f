/** The training loop: take a batch, draw a rank, run the gradient graph, move the rows that were used, report, checkpoint. */
import type { BaseModel } from '../dylora/base-model.ts'
import type { SequenceBatch } from '../dylora/sequences.ts'
import { errors } from '../errors.ts'
import type { ExecutionOptions, TensorData } from '../onnx/session.ts'
import { adamW, type Parameter, sumOfSquares } from './adamw.ts'
import { BatchOrder } from './batches.ts'
import { type Fingerprint, readCheckpoint, removeCheckpoint, writeCheckpoint } from './checkpoint.ts'
import { stepFlops } from './cost.ts'
import type { Dataset } from './data.ts'
import { examplesPerBatch, lossFeeds } from './distillation.ts'
import type { EarlyStopping } from './early-stopping.ts'
import { createLearner, type Learner, type StepPlan } from './learner.ts'
import { rateAt } from './schedule.ts'
import { peakLearningRate, type TrainingSettings, warmupStepsOf } from './settings.ts'
import { stepBatches } from './step-batches.ts'

export interface StepReport {
  /** Steps done, from 1. */
  readonly step: number
  readonly steps: number
  /** Nats per predicted token (with label smoothing, of the smoothed target). */
  readonly loss: number
  /** Of all examples of the step; null where they differ, 0 where nothing has a rank. */
  readonly rank: number | null
  readonly learningRate: number
  readonly gradientNorm: number
  /** Tokens that went through the model, padding left out. */
  readonly tokens: number
  /** Floating-point operations of the matrix products, padding and gradients included. */
  readonly flops: number
  readonly milliseconds: number
  /** Of the process, all threads together. */
  readonly processorMilliseconds: number
}

export interface TrainingRun extends ExecutionOptions {
  readonly base: BaseModel
  readonly data: Dataset
  readonly settings: TrainingSettings
  /** Where the checkpoint lies; none is written without it. */
  readonly checkpoint?: { readonly path: string; readonly every: number; readonly resume: boolean } | undefined
  /** May end the run before its last step; the best that it saw is what was learnt. */
  readonly earlyStopping?: EarlyStopping | undefined
  readonly onStep?: (report: StepReport, learner: Learner) => void | Promise<void>
  readonly onResume?: (step: number) => void
  readonly signal?: AbortSignal | undefined
}

/** Optimizer steps of the run. */
export function totalSteps({ sequences }: Dataset, settings: TrainingSettings): number {
  const { steps, epochs, accumulate } = settings
  const batches = Math.ceil(sequences.length / examplesPerBatch(settings))
  return steps ?? Math.max(1, Math.round((epochs * batches) / accumulate))
}

/** Runs to the end, or from where the checkpoint left off, and gives what was learnt. The caller closes its session. */
export async function train(run: TrainingRun): Promise<Learner> {
  const { base, data, settings, checkpoint, signal, earlyStopping: early } = run
  const learner = await createLearner(base, settings, run)
  const steps = totalSteps(data, settings)
  const order = new BatchOrder(data.sequences, examplesPerBatch(settings), settings.seed)
  const { parameters } = learner
  const fingerprint = fingerprintOf(run, steps)
  const recall: Recall = async (file) => early?.recall(file, parameters)
  const resumed = checkpoint?.resume ? await readCheckpoint(checkpoint.path, parameters, fingerprint, recall) : null
  if (resumed !== null) run.onResume?.(resumed)
  for (let step = resumed ?? 0; step < steps && !early?.isOver; step++) {
    if (signal?.aborted) throw await stopped(run, learner, step, fingerprint)
    const report = await trainStep(learner, order, settings, step, steps)
    await early?.look(step + 1, steps, learner)
    if (checkpoint && (step + 1) % checkpoint.every === 0) {
      await writeCheckpoint(checkpoint.path, parameters, step + 1, fingerprint, early?.remembered(parameters))
    }
    await run.onStep?.(report, learner)
  }
  early?.restoreBest(parameters)
  return learner
}

type Recall = Parameters<typeof readCheckpoint>[3]

/** Saves where the run is, so that it can be resumed. */
async function stopped(
  { checkpoint, earlyStopping: early }: TrainingRun,
  { parameters }: Learner,
  step: number,
  fingerprint: Fingerprint,
): Promise<Error> {
  if (checkpoint) {
    await writeCheckpoint(checkpoint.path, parameters, step, fingerprint, early?.remembered(parameters))
  }
  return errors.cancelled(`Training was stopped after step ${step}${checkpoint ? '; --resume goes on from there' : ''}`)
}

/** Call it once the result is safe. */
export async function discardCheckpoint({ checkpoint }: Pick<TrainingRun, 'checkpoint'>): Promise<void> {
  if (checkpoint) await removeCheckpoint(checkpoint.path)
}

function fingerprintOf({ base, data, settings, earlyStopping }: TrainingRun, steps: number): Fingerprint {
  const all = { ...settings, steps, ...(earlyStopping && { earlyStopping: earlyStopping.settings }) }
  return { base: base.digest, data: data.digest, settings: JSON.stringify(all) }
}

async function trainStep(
  learner: Learner,
  order: BatchOrder,
  settings: TrainingSettings,
  step: number,
  steps: number,
): Promise<StepReport> {
  const started = performance.now()
  const processor = process.cpuUsage()
  const { rows, batches, plans, ranks } = stepBatches(learner, order, step, settings)
  const { loss, gradients } = await accumulated(learner, batches, plans, settings)
  const schedule = { steps, warmupSteps: warmupStepsOf(settings, steps), decay: settings.decay }
  const learningRate = peakLearningRate(settings) * rateAt(schedule, step)
  const plan = plans[0] as StepPlan
  const gradientNorm = update(learner.parameters, gradients, plan, learningRate, settings)
  return {
    step: step + 1,
    steps,
    loss,
    rank: settings.distillation > 0 || new Set(ranks).size > 1 ? null : plan.rank,
    learningRate,
    gradientNorm,
    tokens: rows.flat().reduce((sum, { ids }) => sum + ids.length - 1, 0),
    flops: stepFlops(learner, batches, plans),
    milliseconds: performance.now() - started,
    processorMilliseconds: processorMilliseconds(process.cpuUsage(processor)),
  }
}

const processorMilliseconds = ({ user, system }: NodeJS.CpuUsage): number => (user + system) / 1000

/** Loss and gradients over all batches of a step; every predicted token weighs the same, whichever batch it is in. */
async function accumulated(
  { session, parameters, gradientNames }: Learner,
  batches: readonly SequenceBatch[],
  plans: readonly StepPlan[],
  settings: TrainingSettings,
): Promise<{ loss: number; gradients: Float32Array[] }> {
  const predicted = batches.reduce((sum, { selected }) => sum + selected, 0)
  let loss = 0
  let gradients: Float32Array[] | null = null
  for (const [i, batch] of batches.entries()) {
    const results = await session.run({
      ...batch.feeds,
      ...lossFeeds(batch, predicted, settings),
      ...plans[i]?.feeds,
    })
    loss += (results.loss as TensorData<Float32Array>).data[0] as number
    const current = gradientNames.map((name) => (results[name] as TensorData<Float32Array>).data)
    gradients = gradients === null ? current : gradients.map((sum, p) => added(sum, current[p] as Float32Array))
  }
  if (gradients?.length !== parameters.length) throw new TypeError(`expected ${parameters.length} gradients`)
  return { loss, gradients }
}

function added(sum: Float32Array, more: Float32Array): Float32Array {
  for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (more[i] as number)
  return sum
}

/** Clips and moves; gives the norm before clipping. */
function update(
  parameters: readonly Parameter[],
  gradients: readonly Float32Array[],
  { rows }: StepPlan,
  learningRate: number,
  settings: TrainingSettings,
): number {
  const squares = parameters.map((parameter, i) =>
    sumOfSquares(gradients[i] as Float32Array, parameter.rowLength, rows(parameter)),
  )
  const norm = Math.sqrt(squares.reduce((sum, square) => sum + square, 0))
  if (!Number.isFinite(norm))
    throw new RangeError(`expected a finite gradient, got norm ${norm}: lower the learning rate`)
  const scale = settings.clip > 0 && norm > settings.clip ? settings.clip / norm : 1
  parameters.forEach((parameter, i) => {
    adamW(parameter, gradients[i] as Float32Array, rows(parameter), learningRate, scale, settings)
  })
  return norm
}
