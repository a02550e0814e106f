/** `dylora evaluate`: generates with an adapter at every rank, scores the texts, and writes the curve into the adapter. */

import { bundled } from '../config.ts'
import { checkAgainstBase, readAdapter } from '../dylora/adapter-directory.ts'
import { readBaseModel } from '../dylora/base-model.ts'
import { readTokenizer } from '../dylora/tokenizer.ts'
import { errors } from '../errors.ts'
import { auracOf, mergeCurve } from '../evaluation/curve.ts'
import type { Evaluation } from '../evaluation/evaluate.ts'
import { type Models, measureAdapter, ranksToMeasure, readEvaluationSet } from './adapter-evaluation.ts'
import { baseOfAdapter } from './base-directory.ts'
import { decodingName } from './decoding.ts'
import { type EvaluateOptions, evaluateHelp, parseEvaluateOptions } from './evaluate-options.ts'
import { outputsOf, publishMeasured } from './evaluation-outputs.ts'
import { curveTable, evaluationReporter } from './evaluation-report.ts'

export async function run(args: string[]): Promise<number> {
  const options = parseEvaluateOptions(args)
  if (options === null) {
    console.log(evaluateHelp())
    return 0
  }
  const models = await readModels(options)
  ranksToMeasure(models.adapter, options)
  const { data: file, name, split, limit } = options
  const set = await readEvaluationSet({ file, name, split, limit })
  const report = evaluationReporter({
    isTTY: process.stderr.isTTY ?? false,
    write: (text) => process.stderr.write(text),
  })
  const evaluation = await measureAdapter(models, [set], options, report)
  await publish(options, models, evaluation)
  console.log(options.json ? asJson(options, models, evaluation) : asText(options, evaluation))
  return 0
}

async function readModels(options: EvaluateOptions): Promise<Models> {
  const adapter = await readAdapter(options.adapter)
  const directory = await baseOfAdapter(options.base, bundled.bases, adapter)
  const base = await readBaseModel(directory)
  checkAgainstBase(adapter, base)
  return { base, adapter, tokenizer: await readTokenizer(directory) }
}

/** The adapter is read again: measuring takes minutes, and another split may have been measured meanwhile. */
async function publish(
  { adapter: directory, outputs, decoding }: EvaluateOptions,
  { adapter }: Models,
  { points, outputs: texts }: Evaluation,
): Promise<void> {
  const current = await readAdapter(directory)
  if (current.digest !== adapter.digest) {
    throw errors.adapterInvalid(current.name, 'it was replaced while it was measured', { digest: current.digest })
  }
  const content = { ...current, quality: mergeCurve(current.quality, points) }
  await publishMeasured(directory, content, { texts, decoding: decodingName(decoding) }, outputs)
}

const asText = ({ metrics: [first = 'bleu'] }: EvaluateOptions, { points }: Evaluation): string =>
  curveTable(points, first).join('\n')

function asJson(options: EvaluateOptions, { adapter, base }: Models, { points, outputs }: Evaluation): string {
  const { name, split, decoding, metrics } = options
  return JSON.stringify({
    adapter: adapter.name,
    digest: adapter.digest,
    base: base.name,
    dataset: name,
    split,
    decoding: decodingName(decoding) ?? 'greedy',
    contexts: outputs[0]?.set.groups.length,
    aurac: Object.fromEntries(metrics.map((metric) => [metric, auracOf(points, metric)])),
    points: points.map(({ rank, metric, value, ci95, n, higherIsBetter, primary }) => ({
      ...{ rank, metric, value, ci95, n, higher_is_better: higherIsBetter, primary },
    })),
    outputs: options.outputs ?? outputsOf(options.adapter),
  })
}
