/** What requests of a benchmark ask for, and how long the engine's steps for them take. */
import type { Adapter } from '../../dylora/adapter.ts'
import type { BaseModel } from '../../dylora/base-model.ts'
import { readTokenizer } from '../../dylora/tokenizer.ts'
import { Engine } from '../../inference/engine.ts'
import { type GenerateRequest, greedySampling } from '../../inference/request.ts'
import type { Scale } from './scale.ts'
import { syntheticAdapter } from './synthetic-adapter.ts'

/** Ranks of mixed traffic; four adapters at them have 92 rows together. */
const mixedRanks = [4, 8, 16, 64] as const

/** Which weights stream i asks for. */
export type Asks = (stream: number) => Pick<GenerateRequest, 'adapterId' | 'rank'>

export const traffics: Readonly<Record<string, Asks>> = {
  base: () => ({ adapterId: null }),
  'one adapter, rank 16': () => ({ adapterId: 'adapter-0', rank: 16 }),
  'one adapter, ranks 4/8/16/64': (stream) => ({ adapterId: 'adapter-0', rank: mixedRanks[stream % 4] }),
  'four adapters, ranks 4/8/16/64': (stream) => ({ adapterId: `adapter-${stream % 4}`, rank: mixedRanks[stream % 4] }),
}

export const mixedAdapters = (base: BaseModel): Adapter[] =>
  mixedRanks.map((_, i) =>
    syntheticAdapter(base, { name: `adapter-${i}`, ranks: mixedRanks, targetModules: ['q_proj', 'v_proj'] }),
  )

/** A prompt of so many tokens for the synthetic tokenizer, another for each stream. */
export const promptOf = (tokens: number, stream: number): string =>
  Array.from({ length: tokens }, (_, i) => String.fromCharCode(97 + ((i * 7 + stream * 5 + i * stream) % 26))).join('')

/** An engine whose requests never come to an end of their own, so that all give the same number of tokens. */
export async function endlessEngine(
  base: BaseModel,
  { threads, slots }: { readonly threads: number; readonly slots: number },
): Promise<Engine> {
  const tokenizer = await readTokenizer(base.directory)
  const endless = { ...base, eosTokenIds: [] }
  return Engine.create({
    ...{ base: endless, tokenizer, device: 'cpu', intraOpNumThreads: threads },
    ...{ maxBatchSize: slots, maxWaiting: 4096 },
  })
}

export function requestsOf({ promptTokens, steps }: Scale, streams: number, asks: Asks): GenerateRequest[] {
  return Array.from({ length: streams }, (_, stream) => ({
    ...{ inputs: promptOf(promptTokens, stream), sampling: greedySampling, stop: [] },
    // The first waits for the prompts of the others.
    ...{ maxNewTokens: steps + streams, ...asks(stream) },
  }))
}

/** Milliseconds from step to step while so many decode and no prompt is in work. */
export async function decodeIntervals(
  engine: Engine,
  streams: number,
  work: () => Promise<unknown>,
): Promise<number[]> {
  const steps: { readonly at: number; readonly batchSize: number }[] = []
  const onStep = ({ batchSize }: { readonly batchSize: number }) => steps.push({ at: performance.now(), batchSize })
  engine.on('step', onStep)
  await work().finally(() => engine.off('step', onStep))
  return steps.flatMap(({ at, batchSize }, i) => {
    const before = steps[i - 1]
    return batchSize === streams && before?.batchSize === streams ? [at - before.at] : []
  })
}

export const submitAll = (engine: Engine, requests: readonly GenerateRequest[]): Promise<unknown> =>
  Promise.all(requests.map((request) => engine.submit(request).result))
