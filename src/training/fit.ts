/** Whether settings fit a base model: what can be known before anything is trained. */
import type { TargetModule } from '../dylora/adapter.ts'
import type { BaseModel } from '../dylora/base-model.ts'
import { scoringGraph } from '../dylora/graphs.ts'
import type { TrainingSettings } from './settings.ts'

export interface Misfit {
  readonly setting: keyof TrainingSettings
  /** What was expected and got. */
  readonly message: string
}

/** Every setting that cannot be had of this base; none where it can be trained. */
export function misfits(settings: TrainingSettings, base: BaseModel): Misfit[] {
  return [...lengthMisfit(settings, base), ...(settings.method === 'full' ? [] : moduleMisfits(settings, base))]
}

function lengthMisfit({ maxLength }: TrainingSettings, { config: { positions } }: BaseModel): Misfit[] {
  // The last token is predicted, never fed.
  if (maxLength === undefined || maxLength <= positions + 1) return []
  return [{ setting: 'maxLength', message: `expected at most ${positions + 1}, got ${maxLength}` }]
}

function moduleMisfits({ targetModules, maxRank }: TrainingSettings, base: BaseModel): Misfit[] {
  const { adapted } = scoringGraph(base, { targetModules, batch: 1 })
  const has = (module: TargetModule) => adapted.some(({ key }) => key.endsWith(`.${module}`))
  const missing = targetModules.filter((module) => !has(module))
  if (missing.length > 0)
    return [{ setting: 'targetModules', message: `base model '${base.name}' has no ${missing.join(', ')}` }]
  // Rows beyond the smaller side of a weight add nothing that those before cannot say.
  const most = Math.min(...adapted.map(({ inFeatures, outFeatures }) => Math.min(inFeatures, outFeatures)))
  if (maxRank <= most) return []
  return [{ setting: 'maxRank', message: `expected at most ${most}, the smaller side of a module, got ${maxRank}` }]
}
