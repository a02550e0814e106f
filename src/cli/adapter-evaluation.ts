/** Measures an adapter with an engine of its own: what `evaluate` does, and `train` at its end. */
import { basename } from 'node:path'
import type { Adapter } from '../dylora/adapter.ts'
import type { BaseModel } from '../dylora/base-model.ts'
import { Scorer } from '../dylora/scorer.ts'
import type { Tokenizer } from '../dylora/tokenizer.ts'
import { errors } from '../errors.ts'
import type { Split } from '../evaluation/curve.ts'
import {
  type EvaluatedMetric,
  type Evaluation,
  type EvaluationProgress,
  type EvaluationSet,
  evaluateAdapter,
  type Generate,
  type MeasureLoss,
} from '../evaluation/evaluate.ts'
import { readReferences } from '../evaluation/references.ts'
import { Engine } from '../inference/engine.ts'
import type { ExecutionOptions } from '../onnx/session.ts'
import { encodeExample } from '../training/data.ts'
import { type Decoding, decodingName, decodingRequest, isGreedy } from './decoding.ts'

export interface Models {
  readonly base: BaseModel
  readonly tokenizer: Tokenizer
  readonly adapter: Adapter
}

export interface EvaluationSettings extends ExecutionOptions {
  /** Every trained rank and 0, the base, or these. */
  readonly ranks: 'all' | readonly number[]
  readonly metrics: readonly EvaluatedMetric[]
  readonly decoding: Decoding
  /** Examples that the loss is measured on; 0 for none. */
  readonly lossExamples: number
  /** Rows of the engine's batch: a text has one, or one for each beam. */
  readonly rows: number
}

/** Sixteen texts at once, or four searches. */
export const defaultRows = ({ beams }: Decoding): number => (beams === 1 ? 16 : 4 * beams)

export const defaultLossExamples = 1000

/** `data/e2e/test.references.jsonl` is `test`. */
export const dataName = (file: string): string => basename(file).replace(/\..*$/, '') || basename(file)

const scorerBatch = 16

export interface SetSource {
  readonly file: string
  readonly name: string
  readonly split: Split
  /** The first so many contexts. */
  readonly limit?: number | undefined
}

/** Throws `dataset_invalid`, also where a context has nothing to be compared with. */
export async function readEvaluationSet({ file, name, split, limit }: SetSource): Promise<EvaluationSet> {
  const groups = (await readReferences(file)).slice(0, limit)
  const bare = groups.find(({ references }) => references.every((text) => text.trim() === ''))
  if (bare !== undefined) {
    throw errors.datasetInvalid(file, `expected a reference of context '${bare.context}', got blank ones only`)
  }
  return { name, split, groups }
}

/** The ranks to measure. Throws `rank_not_allowed`, and `validation` where a metric lacks what it compares with. */
export function ranksToMeasure(
  { ranks: trained, maxRank }: Pick<Adapter, 'ranks' | 'maxRank'>,
  { ranks, metrics }: Pick<EvaluationSettings, 'ranks' | 'metrics'>,
): readonly number[] {
  const all = [0, ...trained]
  const wanted = ranks === 'all' ? all : ranks
  const stray = wanted.find((rank) => !all.includes(rank))
  if (stray !== undefined) throw errors.rankNotAllowed(stray, all)
  if (metrics.includes('token_agreement') && !wanted.includes(maxRank)) {
    throw errors.validation(`--metrics: token_agreement compares with rank ${maxRank}, which is not among --ranks`)
  }
  return wanted
}

export async function measureAdapter(
  models: Models,
  datasets: readonly EvaluationSet[],
  settings: EvaluationSettings,
  onProgress: (progress: EvaluationProgress) => void,
): Promise<Evaluation> {
  const { adapter, base, tokenizer } = models
  const { metrics, decoding, lossExamples, provider = 'cpu', deviceId, threads } = settings
  const ranks = ranksToMeasure(adapter, settings)
  const rows = Math.max(settings.rows, decoding.beams)
  const scorer = await Scorer.create(base, {
    ...{ targetModules: adapter.targetModules, batch: scorerBatch, provider, deviceId, threads },
  })
  const engine = await Engine.create({
    ...{ base, tokenizer, device: provider, maxBatchSize: rows, maxRankRows: Math.max(256, adapter.maxRank) },
    ...(deviceId !== undefined && { deviceId }),
    ...(threads !== undefined && { intraOpNumThreads: threads }),
  })
  try {
    await engine.registry.add(adapter)
    return await evaluateAdapter({
      ...{ ranks, datasets, metrics, onProgress },
      generate: generateWith(engine, models, decoding),
      concurrency: Math.floor(rows / decoding.beams),
      decoding: decodingName(decoding),
      primary: isGreedy(decoding),
      tokens: (text) => tokenizer.encode(text),
      ...(lossExamples > 0 && { loss: lossOf(scorer, models, lossExamples) }),
    })
  } finally {
    await engine.close()
    await scorer.close()
  }
}

/** A text ends where the model's positions do, if it must. */
function generateWith(engine: Engine, { adapter, base, tokenizer }: Models, decoding: Decoding): Generate {
  const { name: adapterId, prompt } = adapter
  // The last token is never fed.
  const places = base.config.positions + 1 - prompt.prefix.length - prompt.suffix.length
  return async (inputs, rank) => {
    const room = Math.max(1, places - tokenizer.encode(inputs).length)
    const maxNewTokens = Math.min(decoding.maxNewTokens, room)
    return (await engine.submit({ ...decodingRequest({ ...decoding, maxNewTokens }), inputs, adapterId, rank }).result)
      .text
  }
}

/** Evenly spread over the set, so that a part of it stands for all of it. */
function lossOf(scorer: Scorer, { adapter, base, tokenizer }: Models, most: number): MeasureLoss {
  const eosTokenId = base.eosTokenIds[0] ?? 0
  // The last token is predicted, never fed.
  const encoding = { tokenizer, eosTokenId, prompt: adapter.prompt, maxLength: base.config.positions + 1 }
  return async ({ name, groups }, rank) => {
    const examples = groups.flatMap(({ context, references }) =>
      references.map((completion) => ({ context, completion })),
    )
    const stride = Math.max(1, examples.length / most)
    const chosen = Array.from({ length: Math.min(most, examples.length) }, (_, i) => examples[Math.floor(i * stride)]!)
    const sequences = chosen.map((example) => encodeExample(example, encoding))
    const fitting = sequences.filter(({ ids }) => ids.length <= encoding.maxLength)
    if (fitting.length === 0) {
      throw errors.datasetInvalid(name, `expected examples of up to ${encoding.maxLength} tokens, got none`)
    }
    const { loss } = await scorer.score(fitting, adapter, rank)
    return { value: loss, n: fitting.length }
  }
}
