/** What must be the same for a training, or a measurement, to be kept. */
import { TrainingSettings } from '../../training/settings.ts'

export type Digests = Readonly<Record<string, string>>

export const trainingFingerprint = (settings: object, digests: Digests): string =>
  JSON.stringify({ settings, ...digests })

/** Of a measurement: the training, and what it was measured with. */
export const measuredFingerprint = (training: string, measuredWith: object): string =>
  JSON.stringify([training, measuredWith])

/** An older training may lack settings that the trainer has got since: they count as their defaults. */
export const sameTraining = (found: string, wanted: string): boolean => found === wanted || refreshed(found) === wanted

export function sameMeasured(found: string, wanted: string): boolean {
  if (found === wanted) return true
  const [training, ...rest] = JSON.parse(found) as [string, ...unknown[]]
  return JSON.stringify([refreshed(training), ...rest]) === wanted
}

function refreshed(training: string): string | null {
  const { settings, ...digests } = JSON.parse(training) as { settings: object } & Digests
  const parsed = TrainingSettings.safeParse(settings)
  return parsed.success ? trainingFingerprint(parsed.data, digests) : null
}
