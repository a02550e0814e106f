/** What `train` measures at its end, by the code of `evaluate`, so that an adapter appears together with its curve. */
import { basename, resolve } from 'node:path'
import type { QualityPoint } from '../dylora/adapter.ts'
import type { AdapterContent } from '../dylora/adapter-directory.ts'
import type { BaseModel } from '../dylora/base-model.ts'
import type { Tokenizer } from '../dylora/tokenizer.ts'
import { mergeCurve, type Split } from '../evaluation/curve.ts'
import type { EvaluationSet } from '../evaluation/evaluate.ts'
import type { ExecutionOptions } from '../onnx/session.ts'
import type { ProgressOutput } from '../training/progress.ts'
import { dataName, defaultLossExamples, defaultRows, measureAdapter, readEvaluationSet } from './adapter-evaluation.ts'
import { greedyDecoding } from './decoding.ts'
import { outputsOf, writeOutputs } from './evaluation-outputs.ts'
import { evaluationReporter } from './evaluation-report.ts'
import type { TrainOptions } from './train-options.ts'

/** Before anything is trained, so that a mistake in them costs nothing. */
export async function readEvaluationSets({ evaluate, test }: TrainOptions): Promise<EvaluationSet[]> {
  const sources: (readonly [Split, string | undefined])[] = [
    ['validation', evaluate],
    ['test', test],
  ]
  const given = sources.flatMap(([split, file]) => (file === undefined ? [] : [{ split, file, name: dataName(file) }]))
  return Promise.all(given.map(readEvaluationSet))
}

interface Measured {
  readonly quality: readonly QualityPoint[]
  /** Puts the texts where an adapter keeps them. */
  readonly writeTexts: (directory: string) => Promise<void>
}

/** The curve of an adapter that is not on disk yet, beside what is known of it. */
export async function measureTrained(
  content: AdapterContent,
  sets: readonly EvaluationSet[],
  { base, tokenizer, output }: { base: BaseModel; tokenizer: Tokenizer; output: ProgressOutput },
  { out, metrics }: Pick<TrainOptions, 'out' | 'metrics'>,
  execution: ExecutionOptions,
): Promise<Measured> {
  // Under a name that no base has.
  const adapter = { ...content, name: `.${basename(resolve(out))}`, digest: 'unpublished' }
  const settings = {
    ...({ ranks: 'all', metrics, decoding: greedyDecoding, lossExamples: defaultLossExamples } as const),
    ...execution,
    rows: defaultRows(greedyDecoding),
  }
  const report = evaluationReporter(output)
  const { points, outputs: texts } = await measureAdapter({ base, tokenizer, adapter }, sets, settings, report)
  return {
    quality: mergeCurve(content.quality, points),
    writeTexts: (directory) => writeOutputs(outputsOf(directory), { texts, decoding: undefined }),
  }
}
