/** What an experiment would do and cost, before it does. */
import { estimateFlops } from '../../training/cost.ts'
import type { TrainingSettings } from '../../training/settings.ts'
import { totalSteps } from '../../training/train.ts'
import type { Inputs } from './inputs.ts'
import type { Run } from './plan.ts'

/** A line for each training, and the sum. */
export async function describePlan({ base, train }: Inputs, runs: readonly Run[]): Promise<string[]> {
  const estimates = new Map<string, number>()
  const lines: string[] = []
  let total = 0
  for (const { id, settings, subjects } of runs) {
    const steps = totalSteps(train, settings)
    // Seeds differ in which examples meet, hardly in their cost.
    const key = JSON.stringify({ ...settings, seed: 0 })
    const flops = estimates.get(key) ?? (await estimateFlops(base, train, settings as TrainingSettings, steps))
    estimates.set(key, flops)
    total += flops
    const arms = subjects.map(({ arm, ranks }) => `${arm} at ${ranks.join(',')}`)
    lines.push(`${id}: ${steps} steps, ${teraFlops(flops)}; measures ${arms.join('; ')}`)
  }
  return [...lines, `${runs.length} trainings, ${teraFlops(total)}`]
}

const teraFlops = (flops: number): string => `${(flops / 1e12).toPrecision(4)} TFLOP`
