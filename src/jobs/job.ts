/** What a training job is: what is asked for, in which state it is, and what it has told. */
import { z } from 'zod'
import { TrainingSettings } from '../training/settings.ts'

const adapterName = /^[A-Za-z0-9][\w.-]{0,99}$/

/** A setting by the API's spelling. */
export const settingName = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/** The settings of `dylora train` by the API's spelling; a full training makes a base, which no job does. */
const settingShape = Object.fromEntries(
  Object.entries(TrainingSettings.shape).map(([name, schema]) => [
    settingName(name),
    (name === 'method'
      ? z.enum(['dylora', 'lora']).describe('What is learnt: nested factors, or factors of one rank')
      : unwrapped(schema)
    ).optional(),
  ]),
)

/** Without its default: what is left out is the trainer's to decide. */
function unwrapped(schema: z.ZodType): z.ZodType {
  const inner =
    schema instanceof z.ZodDefault || schema instanceof z.ZodOptional ? (schema.unwrap() as z.ZodType) : schema
  return schema.description === undefined ? inner : inner.describe(schema.description)
}

export const JobSpec = z
  .strictObject({
    adapter: z
      .string()
      .regex(adapterName, 'expected letters, digits, dots, dashes and underscores, at most 100')
      .describe('Name that the adapter is published under; one of this name is replaced'),
    base: z.string().max(100).optional().describe("Name of the base model; the server's own unless given"),
    dataset: z
      .string()
      .regex(adapterName, 'expected the name of a data set')
      .optional()
      .describe('A directory in DATASETS_DIR with train.jsonl and valid.jsonl; without one the data is uploaded'),
    recipe: z.enum(['stratified', 'paper']).optional().describe('Named settings that `settings` change'),
    settings: z.strictObject(settingShape).default({}).describe('As `dylora train --help` lists them'),
    metrics: z
      .array(z.enum(['bleu', 'nist', 'meteor', 'rouge_l', 'cider', 'ter', 'chrf']))
      .min(1)
      .default(['bleu'])
      .describe('What every rank is measured by on the validation data; the first is what `auto` reads'),
    priority: z.int().min(-100).max(100).default(0).describe('Higher ones run first'),
    time_limit_seconds: z.int().min(1).max(82_800).default(21_600).describe('After which the job is given up'),
    gate: z
      .strictObject({
        min_quality: z.number().optional().describe('Least value of the first metric at the highest rank'),
        not_worse: z
          .boolean()
          .default(false)
          .describe('Refuse where a rank is below the confidence interval of the adapter that would be replaced'),
      })
      .default({ not_worse: false })
      .describe('What must hold for the adapter to be published'),
  })
  .meta({ id: 'JobSpec' })
export type JobSpec = z.infer<typeof JobSpec>

/** `refused`: trained and measured, and kept from service by its gate. */
export const jobStates = ['queued', 'running', 'publishing', 'succeeded', 'refused', 'failed', 'cancelled'] as const
export type JobState = (typeof jobStates)[number]

export const isOver = (state: JobState): boolean => ['succeeded', 'refused', 'failed', 'cancelled'].includes(state)

export interface Job {
  readonly id: string
  readonly spec: JobSpec
  readonly state: JobState
  /** Why it failed or was refused. */
  readonly reason: string | null
  /** How often it was begun: once more for each worker that died. */
  readonly attempt: number
  readonly worker: string | null
  /** Of what was published. */
  readonly adapterDigest: string | null
  /** What it told last, by the type of the event. */
  readonly progress: Readonly<Record<string, Readonly<Record<string, unknown>>>> | null
  /** False once data, checkpoints and events are removed: it cannot be tried again. */
  readonly filesKept: boolean
  readonly createdAt: Date
  readonly startedAt: Date | null
  readonly endedAt: Date | null
}

/** What a job told: the events of `dylora train`, and its own changes of state. */
export interface JobEvent {
  /** Ascending over all jobs. */
  readonly id: number
  readonly type: string
  readonly data: Readonly<Record<string, unknown>>
  readonly at: Date
}

/** The flags of `dylora train` for these settings. */
export const settingFlags = ({ recipe, settings }: Pick<JobSpec, 'recipe' | 'settings'>): string[] => [
  ...(recipe === undefined ? [] : ['--recipe', recipe]),
  ...Object.entries(settings).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name.replaceAll('_', '-')}`, String(value)],
  ),
]
