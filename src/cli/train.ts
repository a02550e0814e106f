/** `dylora train`: the worker's whole job in one process, from a data file to an adapter (or a base model) on disk. */
import { readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { QualityPoint } from '../dylora/adapter.ts'
import { type AdapterContent, writeAdapter } from '../dylora/adapter-directory.ts'
import { type BaseModel, baseFiles, readBaseModel } from '../dylora/base-model.ts'
import { writeBaseModel } from '../dylora/base-writer.ts'
import { Scorer } from '../dylora/scorer.ts'
import { readTokenizer } from '../dylora/tokenizer.ts'
import { errors } from '../errors.ts'
import { lossPoint } from '../evaluation/curve.ts'
import type { EvaluationSet } from '../evaluation/evaluate.ts'
import type { ExecutionOptions } from '../onnx/session.ts'
import { checkpointPath } from '../training/checkpoint.ts'
import { type Dataset, type EncodingOptions, readDataset } from '../training/data.ts'
import { EarlyStopping } from '../training/early-stopping.ts'
import { misfits } from '../training/fit.ts'
import type { Learner } from '../training/learner.ts'
import { Progress, type ProgressOutput } from '../training/progress.ts'
import type { TrainingSettings } from '../training/settings.ts'
import { discardCheckpoint, type TrainingRun, totalSteps, train } from '../training/train.ts'
import { type RankLoss, trainedRanks, Validation } from '../training/validation.ts'
import { onDevice, tryDevice } from './device.ts'
import { measureTrained, readEvaluationSets } from './train-evaluation.ts'
import { kebab, parseTrainOptions, type TrainOptions, trainHelp } from './train-options.ts'

const output: ProgressOutput = {
  isTTY: process.stdout.isTTY ?? false,
  write: (text) => process.stdout.write(text),
}

export async function run(args: string[]): Promise<number> {
  const options = parseTrainOptions(args)
  if (options === null) {
    console.log(trainHelp())
    return 0
  }
  await trainAndWrite(options, new Progress(output, options.logEvery), stopSignal())
  return 0
}

/**
 * Aborted by the first SIGINT or SIGTERM, and when a parent that holds a channel to this process is gone: the step under
 * way is finished and a checkpoint written.
 */
function stopSignal(): AbortSignal {
  const controller = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM', 'disconnect'] as const) process.once(name, () => controller.abort())
  // Listening must not keep a finished run alive.
  process.channel?.unref()
  return controller.signal
}

/** What the options ask for, as far as it is there. */
async function executionOf({ device, deviceId, threads }: TrainOptions, progress: Progress): Promise<ExecutionOptions> {
  const { made: provider, choice } = await onDevice(device, (provider) => tryDevice(provider, deviceId))
  if (device !== 'cpu') progress.note('device', { device: provider, device_id: deviceId, reason: choice.reason })
  return { provider, deviceId, threads }
}

async function trainAndWrite(options: TrainOptions, progress: Progress, signal: AbortSignal): Promise<void> {
  const execution = await executionOf(options, progress)
  const base = await readBaseModel(options.base)
  const settings = settingsFor(options.settings, base)
  const encoding = await encodingOf(base, settings)
  const data = await readData(options.data, encoding, progress)
  const held = options.validation === undefined ? null : await readData(options.validation, encoding, progress)
  const sets = await readEvaluationSets(options)
  const validation = held === null ? null : await Validation.create(base, settings, execution)
  const validate = async (learner: Learner, step: number) => {
    if (held === null || validation === null || settings.method === 'full') return []
    const losses = await validation.losses(learner, held.sequences, [0, ...trainedRanks(settings)])
    progress.validation(step, losses)
    return losses
  }
  const early = held === null ? undefined : earlyStopping(options, held, validate)
  const training: TrainingRun = {
    ...{ base, earlyStopping: early },
    data,
    settings,
    signal,
    ...execution,
    checkpoint: { path: checkpointPath(options.out), every: options.checkpointEvery, resume: options.resume },
    onResume: (step) => progress.note('resumed', { step }),
    onStep: async (report, learner) => {
      progress.step(report)
      const due = early === undefined && options.validateEvery > 0 && report.step % options.validateEvery === 0
      if (due && report.step < report.steps) await validate(learner, report.step)
    },
  }
  progress.note('training', {
    method: settings.method,
    examples: data.sequences.length,
    steps: totalSteps(data, settings),
  })
  const learner = await train(training)
  const losses = await validate(learner, totalSteps(data, settings))
  if (early?.best) progress.note('best', { ...early.best })
  const written = await write(options, base, settings, encoding, learner, {
    data,
    held,
    losses,
    sets,
    early,
    execution,
  })
  await validation?.close()
  await learner.session.close()
  await discardCheckpoint(training)
  progress.note('written', written)
}

type Validate = (learner: Learner, step: number) => Promise<readonly RankLoss[]>

/** By the mean of the losses over the trained ranks; undefined where the training goes on to its end in any case. */
function earlyStopping(
  { earlyStopping: patience, validateEvery: every }: TrainOptions,
  { digest }: Dataset,
  validate: Validate,
): EarlyStopping | undefined {
  if (patience === 0) return undefined
  const measure = async (learner: Learner, step: number) => {
    const losses = (await validate(learner, step)).filter(({ rank }) => rank > 0)
    return losses.reduce((sum, { loss }) => sum + loss, 0) / losses.length
  }
  return new EarlyStopping({ every, patience, digest, measure })
}

function settingsFor(settings: TrainingSettings, base: BaseModel): TrainingSettings {
  const { positions } = base.config
  const maxLength = settings.maxLength ?? positions
  const [misfit] = misfits(settings, base)
  if (misfit !== undefined) throw errors.validation(`--${kebab(misfit.setting)}: ${misfit.message}`)
  return { ...settings, maxLength }
}

async function encodingOf(base: BaseModel, { method, maxLength }: TrainingSettings): Promise<EncodingOptions> {
  const tokenizer = await readTokenizer(base.directory)
  const [eosTokenId] = base.eosTokenIds
  if (eosTokenId === undefined)
    throw errors.baseModelInvalid(base.directory, 'it has no eos_token_id, which ends a completion')
  const prompt = { prefix: [], suffix: method === 'full' ? [] : [eosTokenId] }
  return { tokenizer, eosTokenId, prompt, maxLength: maxLength ?? base.config.positions }
}

async function readData(file: string, encoding: EncodingOptions, progress: Progress): Promise<Dataset> {
  const dataset = await readDataset(file, encoding)
  const tokens = dataset.sequences.reduce((sum, { ids }) => sum + ids.length, 0)
  progress.note('data', { file, examples: dataset.sequences.length, tokens, left_out: dataset.leftOut })
  return dataset
}

interface Evidence {
  readonly data: Dataset
  readonly held: Dataset | null
  readonly losses: readonly RankLoss[]
  /** What the result is measured on. */
  readonly sets: readonly EvaluationSet[]
  readonly early: EarlyStopping | undefined
  readonly execution: ExecutionOptions
}

type Written = Readonly<Record<string, unknown>>

async function write(
  options: TrainOptions,
  base: BaseModel,
  settings: TrainingSettings,
  encoding: EncodingOptions,
  learner: Learner,
  evidence: Evidence,
): Promise<Written> {
  const record = {
    settings,
    steps: totalSteps(evidence.data, settings),
    data: { file: basename(evidence.data.file), digest: evidence.data.digest },
    // Factors fit every form of the base; those trained over few bits have learnt to make up for them.
    ...(base.quantization && { baseQuantization: base.quantization }),
    ...(evidence.early && { earlyStopping: { ...evidence.early.settings, best: evidence.early.best } }),
    ...(evidence.held && { validation: { file: basename(evidence.held.file), digest: evidence.held.digest } }),
  }
  const writer = settings.method === 'full' ? writeBase : writeFactors
  return writer(options, base, settings, encoding, learner, record, evidence)
}

async function writeFactors(
  options: TrainOptions,
  base: BaseModel,
  settings: TrainingSettings,
  { prompt, tokenizer }: EncodingOptions,
  { factors }: Learner,
  training: Written,
  evidence: Evidence,
): Promise<Written> {
  const content: AdapterContent = {
    baseModel: base.name,
    baseDigest: base.digest,
    method: settings.method === 'lora' ? 'lora' : 'dylora',
    ranks: trainedRanks(settings),
    maxRank: settings.maxRank,
    loraAlpha: settings.alpha,
    scaling: settings.scaling,
    targetModules: settings.targetModules,
    factors,
    prompt,
    quality: evidence.losses.map((loss) => qualityOf(loss, evidence)),
    training,
  }
  const { out } = options
  if (evidence.sets.length === 0) return { adapter: out, digest: (await writeAdapter(out, content)).digest }
  const { quality, writeTexts } = await measureTrained(
    content,
    evidence.sets,
    { base, tokenizer, output },
    options,
    evidence.execution,
  )
  const { digest } = await writeAdapter(out, { ...content, quality }, writeTexts)
  return { adapter: out, digest, quality: qualityByRank(quality) }
}

/** What the primary metric says of each rank. */
const qualityByRank = (quality: readonly QualityPoint[]): Readonly<Record<string, number>> =>
  Object.fromEntries(
    quality.filter(({ primary }) => primary).map(({ rank, metric, value }) => [`${metric} at ${rank}`, value]),
  )

/** Until an evaluation puts a task metric beside it, the validation loss is what `auto` goes by. */
function qualityOf({ rank, loss, examples }: RankLoss, { held }: Evidence): QualityPoint {
  const dataset = basename(held?.file ?? '').replace(/\.[a-z]+$/, '')
  return { ...lossPoint({ rank, dataset, split: 'validation' }, loss, examples), primary: rank > 0 }
}

async function writeBase(
  { out }: TrainOptions,
  base: BaseModel,
  settings: TrainingSettings,
  _encoding: EncodingOptions,
  { parameters }: Learner,
  training: Written,
  { held, execution }: Evidence,
): Promise<Written> {
  const weights = new Map(parameters.map(({ name, data }) => [name, data]))
  const written = await writeBaseModel(out, {
    config: base.config,
    weight: async (name) => weights.get(name) as Float32Array,
    tokenizer: await readFile(join(base.directory, baseFiles.tokenizer)),
    bosTokenId: base.bosTokenId,
    eosTokenIds: base.eosTokenIds,
    source: { trainedFrom: base.digest, ...training },
  })
  const loss = held === null ? {} : { validation_loss: await baseLoss(written, held, settings, execution) }
  return { base: out, digest: written.digest, ...loss }
}

async function baseLoss(
  base: BaseModel,
  { sequences }: Dataset,
  { batchSize }: TrainingSettings,
  execution: ExecutionOptions,
): Promise<number> {
  const scorer = await Scorer.create(base, { targetModules: [], batch: batchSize, ...execution })
  const { loss } = await scorer.score(sequences, null, 0)
  await scorer.close()
  return loss
}
