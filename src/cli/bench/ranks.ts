/** `dylora bench ranks`: what a rank costs, on the bundled model and adapter, without HTTP. */
import { readAdapter } from '../../dylora/adapter-directory.ts'
import { readBaseModel } from '../../dylora/base-model.ts'
import { readTokenizer } from '../../dylora/tokenizer.ts'
import { Engine } from '../../inference/engine.ts'
import { type GenerateRequest, greedySampling } from '../../inference/request.ts'
import { median } from './report.ts'

interface Case {
  readonly streams: number
  readonly what: string
  /** The rank of stream i; null for the base model without an adapter. */
  readonly rank: (stream: number) => number | null
}

export interface RanksBenchRow {
  readonly streams: number
  readonly rank: string
  readonly tokensPerSecond: number
  readonly msBetweenTokens: number
  /** Of the base model at as many streams, in the same run. */
  readonly ofBase: number
}

export interface RanksBenchOptions {
  readonly base: string
  readonly adapter: string
  readonly rounds: number
  readonly threads: number
}

const newTokens = 64
const prompt =
  'name : The Vaults | Type : pub | price : more than £ 30 | customer rating : 5 out of 5 | near : Café Adriatic'

/** Every round runs each case once, so that all see the same machine; the first round is not counted. */
export async function benchRanks({
  base: baseDirectory,
  adapter: adapterDirectory,
  rounds,
  threads,
}: RanksBenchOptions) {
  const base = await readBaseModel(baseDirectory)
  const tokenizer = await readTokenizer(baseDirectory)
  // A base without an end of text: every request gives the same number of tokens.
  const endless = { ...base, eosTokenIds: [] }
  const engine = await Engine.create({ base: endless, tokenizer, device: 'cpu', intraOpNumThreads: threads })
  const adapter = await readAdapter(adapterDirectory)
  await engine.registry.add(adapter)
  const cases = [1, 8].flatMap((streams) => casesOf(streams, adapter.ranks))
  const rates = cases.map((): number[] => [])
  for (let round = 0; round <= rounds; round++) {
    for (const [i, each] of cases.entries()) {
      const rate = await measure(engine, each, adapter.name)
      if (round > 0) rates[i]?.push(rate)
    }
  }
  await engine.close()
  return cases.map(({ streams, what }, i): RanksBenchRow => {
    const rate = median(rates[i] ?? [])
    const baseRate = median(rates[cases.findIndex((other) => other.streams === streams)] ?? [])
    return {
      streams,
      rank: what,
      tokensPerSecond: rate,
      msBetweenTokens: (1000 * streams) / rate,
      ofBase: rate / baseRate,
    }
  })
}

function casesOf(streams: number, ranks: readonly number[]): Case[] {
  const top = Math.max(...ranks)
  const single = [...new Set([1, 4, top])].filter((rank) => ranks.includes(rank))
  return [
    { streams, what: 'base', rank: () => null },
    ...single.map((rank): Case => ({ streams, what: String(rank), rank: () => rank })),
    ...(streams > 1
      ? [{ streams, what: 'mixed', rank: (stream: number) => ranks[stream % ranks.length] ?? null }]
      : []),
  ]
}

/** Generated tokens a second, prefill included. */
async function measure(engine: Engine, { streams, rank }: Case, adapterId: string): Promise<number> {
  const started = performance.now()
  const results = await Promise.all(
    Array.from({ length: streams }, (_, stream) => engine.submit(requestAt(rank(stream), adapterId)).result),
  )
  const tokens = results.reduce((sum, result) => sum + result.tokens.length, 0)
  return (1000 * tokens) / (performance.now() - started)
}

function requestAt(rank: number | null, adapterId: string): GenerateRequest {
  const weights = rank === null ? { adapterId: null } : { adapterId, rank }
  return { inputs: prompt, maxNewTokens: newTokens, sampling: greedySampling, stop: [], ...weights }
}
