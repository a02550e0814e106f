/** `dylora evaluate`: generates with an adapter at every rank, scores the texts, and writes the curve into the adapter. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Adapter, QualityPoint } from '../dylora/adapter.ts'
import { checkAgainstBase, readAdapter, writeAdapter } from '../dylora/adapter-directory.ts'
import { type BaseModel, readBaseModel } from '../dylora/base-model.ts'
import { Scorer } from '../dylora/scorer.ts'
import { readTokenizer, type Tokenizer } from '../dylora/tokenizer.ts'
import { errors } from '../errors.ts'
import { mergeCurve } from '../evaluation/curve.ts'
import {
  type EvaluatedRank,
  type EvaluationProgress,
  type EvaluationSet,
  evaluateAdapter,
  type Generate,
  type MeasureLoss,
} from '../evaluation/evaluate.ts'
import { readReferences } from '../evaluation/references.ts'
import { Engine } from '../inference/engine.ts'
import { greedySampling } from '../inference/request.ts'
import { encodeExample } from '../training/data.ts'
import { type EvaluateOptions, evaluateHelp, parseEvaluateOptions } from './evaluate-options.ts'

interface Models {
  readonly base: BaseModel
  readonly tokenizer: Tokenizer
  readonly adapter: Adapter
}

const scorerBatch = 16

export async function run(args: string[]): Promise<number> {
  const options = parseEvaluateOptions(args)
  if (options === null) {
    console.log(evaluateHelp())
    return 0
  }
  const models = await readModels(options)
  const groups = (await readReferences(options.data)).slice(0, options.limit)
  const set: EvaluationSet = { name: options.name, split: options.split, groups }
  const { points, outputs } = await measure(set, models, options)
  // Read again: measuring takes minutes, and another split may have been measured meanwhile.
  const current = await readAdapter(options.adapter)
  if (current.digest !== models.adapter.digest) {
    throw errors.adapterInvalid(current.name, 'it was replaced while it was measured', { digest: current.digest })
  }
  await writeAdapter(options.adapter, { ...current, quality: mergeCurve(current.quality, points) })
  if (options.outputs !== undefined) await writeOutputs(options.outputs, outputs)
  for (const line of table(points)) console.log(line)
  return 0
}

async function readModels(options: EvaluateOptions): Promise<Models> {
  const base = await readBaseModel(options.base)
  const adapter = await readAdapter(options.adapter)
  checkAgainstBase(adapter, base)
  return { base, adapter, tokenizer: await readTokenizer(options.base) }
}

async function measure(set: EvaluationSet, models: Models, options: EvaluateOptions) {
  const { adapter, base, tokenizer } = models
  const scorer = await Scorer.create(base, { targetModules: adapter.targetModules, batch: scorerBatch })
  const engine = await Engine.create({ base, tokenizer, device: 'cpu', maxBatchSize: options.concurrency })
  try {
    await engine.registry.add(adapter)
    return await evaluateAdapter({
      ranks: options.ranks === 'all' ? [0, ...adapter.ranks] : options.ranks,
      datasets: [set],
      generate: greedy(engine, adapter, options.maxNewTokens),
      concurrency: options.concurrency,
      onProgress: reporter(),
      ...(options.lossExamples === 0 ? {} : { loss: lossOf(scorer, models, options.lossExamples) }),
    })
  } finally {
    await engine.close()
    await scorer.close()
  }
}

const greedy =
  (engine: Engine, adapter: Adapter, maxNewTokens: number): Generate =>
  async (inputs, rank) => {
    const request = { inputs, adapterId: adapter.name, rank, maxNewTokens, sampling: greedySampling, stop: [] }
    return (await engine.submit(request).result).text
  }

/** Evenly spread over the set, so that a part of it stands for all of it. */
function lossOf(scorer: Scorer, { adapter, base, tokenizer }: Models, most: number): MeasureLoss {
  const eosTokenId = base.eosTokenIds[0] ?? 0
  const encoding = { tokenizer, eosTokenId, prompt: adapter.prompt, maxLength: base.config.positions + 1 }
  return async ({ groups }, rank) => {
    const examples = groups.flatMap(({ context, references }) =>
      references.map((completion) => ({ context, completion })),
    )
    const stride = Math.max(1, examples.length / most)
    const chosen = Array.from({ length: Math.min(most, examples.length) }, (_, i) => examples[Math.floor(i * stride)]!)
    const sequences = chosen.map((example) => encodeExample(example, encoding))
    const fitting = sequences.filter(({ ids }) => ids.length <= encoding.maxLength)
    const { loss } = await scorer.score(fitting, adapter, rank)
    return { value: loss, n: fitting.length }
  }
}

/** A line at every tenth of the way. */
function reporter(): (progress: EvaluationProgress) => void {
  let said = 0
  return ({ set, done, total }) => {
    const tenth = Math.floor((10 * done) / total)
    if (tenth > said) console.error(`${set.name} ${set.split}: ${done} of ${total} outputs`)
    said = tenth
  }
}

async function writeOutputs(directory: string, outputs: readonly EvaluatedRank[]): Promise<void> {
  await mkdir(directory, { recursive: true })
  for (const { set, rank, hypotheses } of outputs) {
    const lines = hypotheses.map((text) => `${text.replace(/\s+/g, ' ')}\n`)
    await writeFile(join(directory, `${set.name}-${set.split}-rank-${rank}.txt`), lines.join(''))
  }
}

/** One line for each rank: every metric with its interval. */
function table(points: readonly QualityPoint[]): string[] {
  const ranks = [...new Set(points.map(({ rank }) => rank))]
  const cell = ({ metric, value, ci95 }: QualityPoint) =>
    `${metric} ${value.toFixed(metric === 'loss' ? 4 : 2)}${ci95 ? ` [${ci95[0].toFixed(2)}, ${ci95[1].toFixed(2)}]` : ''}`
  return ranks.map((rank) => {
    const cells = points.filter((point) => point.rank === rank).map(cell)
    return `rank ${String(rank).padStart(2)}  ${cells.join('  ')}`
  })
}
