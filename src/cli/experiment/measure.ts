/** What a training is worth: validation loss and test metrics of its arms at their ranks, texts generated in mixed batches. */
import type { Adapter } from '../../dylora/adapter.ts'
import { parameterCount } from '../../dylora/adapter.ts'
import { readAdapter } from '../../dylora/adapter-directory.ts'
import { type BaseModel, readBaseModel } from '../../dylora/base-model.ts'
import { gpt2Tensors } from '../../dylora/gpt2-config.ts'
import { Scorer } from '../../dylora/scorer.ts'
import type { TokenSequence } from '../../dylora/sequences.ts'
import { readTokenizer } from '../../dylora/tokenizer.ts'
import { generateTexts } from '../../evaluation/evaluate.ts'
import { type MetricName, metrics, score } from '../../evaluation/metrics.ts'
import type { ReferenceGroup } from '../../evaluation/references.ts'
import { Engine } from '../../inference/engine.ts'
import { greedySampling } from '../../inference/request.ts'
import { type EncodingOptions, readDataset } from '../../training/data.ts'
import { cutArms } from './arms.ts'
import type { Run } from './plan.ts'
import type { Measured } from './results.ts'

/** The metrics of the test texts; the first is the one that is compared. */
export const measuredMetrics = ['bleu', 'nist', 'rouge_l', 'cider'] as const satisfies readonly MetricName[]

export interface MeasureContext {
  readonly base: BaseModel
  readonly validation: string
  readonly lossExamples: number
  readonly groups: readonly ReferenceGroup[]
  readonly maxNewTokens: number
  readonly threads: number
}

export interface MeasuredTexts extends Measured {
  /** One for each test input. */
  readonly texts: readonly string[]
}

/** Something that answers: an arm at a rank. */
interface Candidate {
  readonly arm: string
  readonly rank: number
  /** Null where the base itself answers. */
  readonly adapter: Adapter | null
}

export async function measureRun(context: MeasureContext, run: Run, directory: string): Promise<MeasuredTexts[]> {
  const base = run.settings.method === 'full' ? await readBaseModel(directory) : context.base
  const trained = run.settings.method === 'full' ? null : await readAdapter(directory)
  const candidates = run.subjects.flatMap(({ arm, ranks }) => {
    // Batches tell adapters apart by digest, and those derived from one training are different functions.
    const adapter = trained && { ...derived(arm, trained), name: arm, digest: `${trained.digest} ${arm}` }
    return ranks.map((rank): Candidate => ({ arm, rank, adapter }))
  })
  const texts = await generateAll(context, base, candidates)
  const losses = await lossesOf(context, base, candidates)
  const references = context.groups.map((group) => group.references)
  return candidates.map(({ arm, rank, adapter }, i) => ({
    arm,
    rank,
    parameters: adapter === null ? weightCount(base) : parameterCount(adapter, rank),
    ...(losses[i] as Pick<Measured, 'loss' | 'lossExamples'>),
    metrics: Object.fromEntries(measuredMetrics.map((name) => [name, score(metrics[name], texts[i]!, references)])),
    texts: texts[i] as string[],
  }))
}

const derived = (arm: string, trained: Adapter): Adapter =>
  cutArms.find(({ id }) => id === arm)?.derive(trained) ?? trained

export const weightCount = ({ config }: BaseModel): number =>
  [...gpt2Tensors(config).values()].reduce((sum, shape) => sum + shape.reduce((all, dim) => all * dim, 1), 0)

const slots = 16

/** Texts [candidate][input], in one engine: its batches mix arms and ranks. */
async function generateAll(
  { groups, maxNewTokens, threads }: MeasureContext,
  base: BaseModel,
  candidates: readonly Candidate[],
): Promise<string[][]> {
  const tokenizer = await readTokenizer(base.directory)
  const engine = await Engine.create({
    ...{ base, tokenizer, device: 'cpu', maxBatchSize: slots, intraOpNumThreads: threads, maxRankRows: 1024 },
  })
  const generate = async (inputs: string, { arm, rank, adapter }: Candidate) => {
    const adapterId = adapter === null ? null : arm
    const request = { inputs, adapterId, rank, maxNewTokens, sampling: greedySampling, stop: [] }
    return (await engine.submit(request).result).text
  }
  try {
    for (const adapter of new Map(candidates.map(({ arm, adapter }) => [arm, adapter])).values()) {
      if (adapter !== null) await engine.registry.add(adapter)
    }
    return await generateTexts(groups, candidates, generate, { concurrency: slots })
  } finally {
    await engine.close()
  }
}

async function lossesOf(context: MeasureContext, base: BaseModel, candidates: readonly Candidate[]) {
  const adapter = candidates[0]?.adapter ?? null
  const sequences = await validationSequences(context, base, adapter)
  const options = { targetModules: adapter?.targetModules ?? [], batch: slots, threads: context.threads }
  const scorer = await Scorer.create(base, options)
  try {
    const losses: Pick<Measured, 'loss' | 'lossExamples'>[] = []
    for (const { adapter, rank } of candidates) {
      const { loss } = await scorer.score(sequences, adapter, rank)
      losses.push({ loss, lossExamples: sequences.length })
    }
    return losses
  } finally {
    await scorer.close()
  }
}

/** Evenly spread over the file, so that a part of it stands for all of it. */
async function validationSequences(
  { validation, lossExamples }: MeasureContext,
  base: BaseModel,
  adapter: Adapter | null,
): Promise<TokenSequence[]> {
  const encoding: EncodingOptions = {
    tokenizer: await readTokenizer(base.directory),
    eosTokenId: base.eosTokenIds[0] ?? 0,
    prompt: adapter?.prompt ?? { prefix: [], suffix: [] },
    // The last token is predicted, never fed.
    maxLength: base.config.positions + 1,
  }
  const { sequences } = await readDataset(validation, encoding)
  const count = Math.min(lossExamples, sequences.length)
  return Array.from({ length: count }, (_, i) => sequences[Math.floor((i * sequences.length) / count)] as TokenSequence)
}
