/** The playground's sampling settings, and the parameters that they are sent as. */
import type { Parameters } from './api.ts'

/** The sampling controls: a value that changes nothing is not sent. */
export const controls = [
  { name: 'max_new_tokens', label: 'Most new tokens', initial: 60, neutral: null, min: 1, max: 4096, step: 1 },
  { name: 'temperature', label: 'Temperature (0: greedy)', initial: 0, neutral: 0, min: 0, max: 2, step: 0.05 },
  { name: 'top_p', label: 'Top p', initial: 1, neutral: 1, min: 0.05, max: 1, step: 0.05 },
  { name: 'top_k', label: 'Top k (0: all)', initial: 0, neutral: 0, min: 0, max: 1000, step: 1 },
  { name: 'repetition_penalty', label: 'Repetition penalty', initial: 1, neutral: 1, min: 0.5, max: 2, step: 0.05 },
  { name: 'seed', label: 'Seed', initial: 42, neutral: null, min: 0, max: 2 ** 31, step: 1 },
] as const
type ControlName = (typeof controls)[number]['name']
type Settings = Readonly<Record<ControlName, number>>

export const initialSettings = Object.fromEntries(controls.map(({ name, initial }) => [name, initial])) as Settings

/** What is sent: the settings that change something. A seed does nothing without sampling. */
export function parametersOf(settings: Settings): Parameters {
  const given = controls.filter(({ name, neutral }) => settings[name] !== neutral)
  const parameters: Parameters = Object.fromEntries(given.map(({ name }) => [name, settings[name]]))
  const samples = (settings.temperature > 0 && { do_sample: true }) || {}
  if (settings.temperature === 0 && settings.top_p === 1 && settings.top_k === 0) delete parameters.seed
  return { ...parameters, ...samples }
}
