/** `dylora bench quantization`: the decoding of one base stored in 32, 8 and 4 bits, side by side in one process. */
import type { BaseModel } from '../../dylora/base-model.ts'
import { formatName, type Quantization } from '../../dylora/quantization.ts'
import { readTokenizer } from '../../dylora/tokenizer.ts'
import { Engine } from '../../inference/engine.ts'
import { type GenerateRequest, greedySampling } from '../../inference/request.ts'
import { median } from './report.ts'
import { gpt2Small, withSyntheticBase } from './synthetic-base.ts'

export interface QuantizationBenchRow {
  readonly stored: string
  readonly streams: number
  readonly tokensPerSecond: number
  readonly msBetweenTokens: number
  /** Of float32 at as many streams, in the same run. */
  readonly ofFloat32: number
}

export interface QuantizationBenchOptions {
  readonly rounds: number
  readonly threads: number
}

const forms: readonly (Quantization | null)[] = [null, { bits: 8, blockSize: 32 }, { bits: 4, blockSize: 32 }]
const streamCounts = [1, 4, 8]
const newTokens = 32

/** Every round runs each case once, so that all see the same machine; the first round is not counted. */
export async function benchQuantization({
  rounds,
  threads,
}: QuantizationBenchOptions): Promise<QuantizationBenchRow[]> {
  return withEngines([...forms], threads, async (engines) => {
    const cases = streamCounts.flatMap((streams) => engines.map((engine, form) => ({ streams, engine, form })))
    const rates = cases.map((): number[] => [])
    for (let round = 0; round <= rounds; round++) {
      for (const [i, { engine, streams }] of cases.entries()) {
        const rate = await measure(engine, streams)
        if (round > 0) rates[i]?.push(rate)
      }
    }
    const medians = rates.map(median)
    return cases.map(({ streams, form }, i): QuantizationBenchRow => {
      const rate = medians[i] ?? 0
      const float32 = medians[cases.findIndex((other) => other.streams === streams && other.form === 0)] ?? 0
      const quantization = forms[form] ?? null
      return {
        stored: quantization === null ? 'float32' : formatName(quantization),
        streams,
        tokensPerSecond: rate,
        msBetweenTokens: (1000 * streams) / rate,
        ofFloat32: rate / float32,
      }
    })
  })
}

/** An engine for each form, all at once, closed afterwards. */
async function withEngines<T>(
  [form, ...others]: (Quantization | null)[],
  threads: number,
  use: (engines: readonly Engine[]) => Promise<T>,
): Promise<T> {
  if (form === undefined) return use([])
  return withSyntheticBase({ ...gpt2Small, quantization: form }, async (base) => {
    const engine = await engineOf(base, threads)
    try {
      return await withEngines(others, threads, (rest) => use([engine, ...rest]))
    } finally {
      await engine.close()
    }
  })
}

async function engineOf(base: BaseModel, threads: number): Promise<Engine> {
  const tokenizer = await readTokenizer(base.directory)
  // Without an end of text every request gives the same number of tokens.
  return Engine.create({ base: { ...base, eosTokenIds: [] }, tokenizer, device: 'cpu', intraOpNumThreads: threads })
}

/** Generated tokens a second, the short prompt included. */
async function measure(engine: Engine, streams: number): Promise<number> {
  const request: GenerateRequest = {
    ...{ inputs: 'a b c', adapterId: null, maxNewTokens: newTokens, sampling: greedySampling, stop: [] },
  }
  const started = performance.now()
  await Promise.all(Array.from({ length: streams }, () => engine.submit(request).result))
  return (1000 * streams * newTokens) / (performance.now() - started)
}
