/** The learning rate of a step, as a share of its peak. */

const decays = {
  linear: (progress: number) => 1 - progress,
  cosine: (progress: number) => 0.5 * (1 + Math.cos(Math.PI * progress)),
  constant: () => 1,
} as const
export type Decay = keyof typeof decays
export const decayNames = Object.keys(decays) as Decay[]

export interface Schedule {
  readonly steps: number
  readonly warmupSteps: number
  readonly decay: Decay
}

/** Steps count from 0: the rate climbs to its peak over the warm-up, then decays until the last step. */
export function rateAt({ steps, warmupSteps, decay }: Schedule, step: number): number {
  if (step < warmupSteps) return (step + 1) / warmupSteps
  return decays[decay](Math.min(1, (step - warmupSteps) / Math.max(1, steps - warmupSteps)))
}
