/** `results.json`: everything that an experiment found, and all that its report needs. */
import { z } from 'zod'
import { readJsonFile } from '../../dylora/json-file.ts'
import { publishFile } from '../../dylora/publish.ts'
import { errors } from '../../errors.ts'

/** What a training took. Time is that of its steps alone; what was done twice because of a kill counts once. */
export const Cost = z.strictObject({
  steps: z.int().min(1),
  /** Without padding. */
  tokens: z.number(),
  /** Of matrix products, padding included. */
  flops: z.number(),
  seconds: z.number(),
  /** Of all threads: what other programs of the machine take does not count. */
  processorSeconds: z.number(),
})
export type Cost = z.infer<typeof Cost>

const Measured = z.strictObject({
  arm: z.string(),
  rank: z.int().min(0),
  /** That this rank adds to the base, or (full fine-tuning) all. */
  parameters: z.int(),
  /** Nats per token of the validation set. */
  loss: z.number(),
  lossExamples: z.int(),
  /** On the test set, by name. */
  metrics: z.record(z.string(), z.number()),
})
export type Measured = z.infer<typeof Measured>

const Subject = z.strictObject({
  arm: z.string(),
  label: z.string(),
  family: z.enum(['lora', 'cut', 'dylora', 'recipe', 'candidate', 'full']),
  ranks: z.array(z.int().min(0)).readonly(),
})

export const MeasuredRun = z.strictObject({
  id: z.string(),
  plan: z.enum(['main', 'wide']),
  seed: z.int(),
  settings: z.record(z.string(), z.unknown()),
  subjects: z.array(Subject).readonly(),
  cost: Cost,
  measured: z.array(Measured),
})
export type MeasuredRun = z.infer<typeof MeasuredRun>

/** An arm against the LoRA trained for the rank, on the same test inputs, the mean over the seeds. */
const Comparison = z.strictObject({
  plan: z.enum(['main', 'wide']),
  arm: z.string(),
  rank: z.int(),
  metric: z.string(),
  seeds: z.int(),
  difference: z.number(),
  ci95: z.tuple([z.number(), z.number()]),
  /** Share of the resamples in which the arm is not better. */
  pValue: z.number(),
})
export type Comparison = z.infer<typeof Comparison>

const DataFile = z.strictObject({ file: z.string(), digest: z.string(), count: z.int() })

export const Results = z.strictObject({
  formatVersion: z.literal(1),
  /** The arguments of `dylora experiment`, without the directories of a machine; a line for each plan. */
  command: z.string(),
  /** When the last result came, ISO 8601. */
  updated: z.string(),
  machine: z.record(z.string(), z.union([z.string(), z.number()])),
  /** Trainings that ran at once. */
  parallel: z.int(),
  base: z.strictObject({
    name: z.string(),
    digest: z.string(),
    parameters: z.int(),
    layers: z.int(),
    hiddenSize: z.int(),
  }),
  data: z.strictObject({ train: DataFile, validation: DataFile, test: DataFile }),
  maxNewTokens: z.int(),
  /** Trainings that the plan has and that are not measured yet. */
  missing: z.array(z.string()),
  runs: z.array(MeasuredRun),
  comparisons: z.array(Comparison),
})
export type Results = z.infer<typeof Results>

/** A mistake of the user where `path` holds no results. */
export const readResults = (path: string): Promise<Results> =>
  readJsonFile(path, Results, (reason) => errors.validation(`${path} is not usable: ${reason}`))

/** JSON that readers see whole: the old content or the new. */
export const publishJson = (path: string, value: unknown): Promise<void> =>
  publishFile(path, (handle) => handle.writeFile(`${JSON.stringify(value, null, 2)}\n`))
