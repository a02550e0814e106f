/** What a job's events say, gathered for showing. */
import type { JobEvent } from './jobs-api.ts'

export interface JobStory {
  readonly step: number
  readonly steps: number | null
  readonly secondsLeft: number | null
  /** Of the training, at each step that was told. */
  readonly losses: readonly { readonly step: number; readonly loss: number }[]
  /** On the validation data, by rank. */
  readonly validations: readonly { readonly step: number; readonly byRank: Readonly<Record<string, number>> }[]
  /** Share of the evaluation that is done; null before it. */
  readonly evaluated: number | null
  /** What each rank is worth, once it was measured: `bleu at 4` and its value. */
  readonly quality: Readonly<Record<string, number>>
}

export const emptyStory: JobStory = {
  step: 0,
  steps: null,
  secondsLeft: null,
  losses: [],
  validations: [],
  evaluated: null,
  quality: {},
}

const numberOf = (value: unknown): number | null => (typeof value === 'number' ? value : null)

type Tell = (story: JobStory, data: JobEvent['data']) => JobStory

const tales: Readonly<Record<string, Tell>> = {
  step: (story, { step, steps, loss, seconds_left: left }) => ({
    ...story,
    step: numberOf(step) ?? story.step,
    steps: numberOf(steps) ?? story.steps,
    secondsLeft: numberOf(left),
    losses: withPoint(story.losses, { step: numberOf(step) ?? 0, loss: numberOf(loss) ?? Number.NaN }),
  }),
  validation: (story, { step, loss_by_rank: byRank }) => ({
    ...story,
    validations: withPoint(story.validations, {
      step: numberOf(step) ?? 0,
      byRank: (byRank ?? {}) as Record<string, number>,
    }),
  }),
  evaluation: (story, { done, total }) => ({
    ...story,
    secondsLeft: null,
    evaluated: (numberOf(done) ?? 0) / Math.max(1, numberOf(total) ?? 1),
  }),
  written: (story, { quality }) => ({ ...story, quality: (quality ?? {}) as Record<string, number> }),
}

/** An attempt that goes on from a checkpoint tells some steps again: the later ones count. */
const withPoint = <P extends { readonly step: number }>(points: readonly P[], point: P): P[] => [
  ...points.filter(({ step }) => step < point.step),
  point,
]

export const withEvent = (story: JobStory, { type, data }: JobEvent): JobStory => tales[type]?.(story, data) ?? story
