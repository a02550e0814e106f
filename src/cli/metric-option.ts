/** `--metrics`: names of what is measured, the primary one first. */
import { errors } from '../errors.ts'
import { type EvaluatedMetric, evaluatedMetrics } from '../evaluation/evaluate.ts'

/** What is measured when nothing else is said. */
export const defaultMetrics = ['bleu', 'nist', 'meteor', 'rouge_l', 'cider'] as const satisfies EvaluatedMetric[]

/** Throws `validation` with the list of those that there are. */
export function parseMetrics(text: string | undefined): readonly EvaluatedMetric[] {
  const names = text === undefined ? defaultMetrics : [...new Set(text.split(',').map((name) => name.trim()))]
  const stray = names.find((name) => !evaluatedMetrics.some((known) => known === name))
  if (stray !== undefined) {
    throw errors.validation(`--metrics: there is no metric '${stray}': expected some of ${evaluatedMetrics.join(', ')}`)
  }
  return names as EvaluatedMetric[]
}
