/** `dylora bench serve`: what requests get of the engine at growing numbers of streams, weights of all kinds, and HTTP. */
import type { BaseModel } from '../../dylora/base-model.ts'
import type { Engine } from '../../inference/engine.ts'
import { greedySampling } from '../../inference/request.ts'
import { BareLoop, baseOnly } from './bare-loop.ts'
import { type Served, serveEngine } from './http-load.ts'
import {
  atLeast,
  atMost,
  type Findings,
  type Goal,
  median,
  quantile,
  type Row,
  spreadOf,
  type Table,
} from './report.ts'
import { inRounds } from './rounds.ts'
import type { BenchOptions } from './scale.ts'
import { loadTable } from './serve-load.ts'
import { withSyntheticBase } from './synthetic-base.ts'
import { decodeIntervals, endlessEngine, mixedAdapters, promptOf, requestsOf, submitAll, traffics } from './traffic.ts'

interface ServeSubject extends BenchOptions {
  readonly base: BaseModel
  /** Never has an adapter, so its graph has no branches. */
  readonly plain: Engine
  readonly engine: Engine
  readonly http: Served
}

const noBranches = 'base, graph without branches'
const mixed = 'four adapters, ranks 4/8/16/64'

export function benchServe(options: BenchOptions): Promise<Findings> {
  const { scale, threads } = options
  return withSyntheticBase(scale.shape, async (base) => {
    const slots = Math.max(...scale.streams, scale.crowd)
    const [plain, engine] = [
      await endlessEngine(base, { threads, slots }),
      await endlessEngine(base, { threads, slots }),
    ]
    for (const adapter of mixedAdapters(base)) await engine.registry.add(adapter)
    const http = await serveEngine(engine, base)
    try {
      const subject = { ...options, base, plain, engine, http }
      const decode = await decodeTable(subject)
      const prefill = await prefillTable(subject)
      const overhead = await overheadTable(subject)
      const load = await loadTable(subject)
      return { tables: [decode, prefill, overhead, load], goals: goalsOf(options, decode, overhead, load) }
    } finally {
      await http.close()
      await engine.close()
      await plain.close()
    }
  })
}

const find = ({ rows }: Table, wanted: Row): Row =>
  rows.find((row) => Object.entries(wanted).every(([key, value]) => row[key] === value)) ?? {}

function goalsOf({ scale }: BenchOptions, decode: Table, overhead: Table, load: Table): Goal[] {
  const streams = scale.crowd
  const of = (weights: string) => Number(find(decode, { streams, weights })['of base'])
  return [
    atLeast(`base-only traffic at ${streams} streams, of a graph without branches`, 0.97, 1 / of(noBranches)),
    atLeast(`one adapter at rank 16, ${streams} streams, of base`, 0.95, of('one adapter, rank 16')),
    atLeast(`${streams} requests at four ranks of four adapters, of ${streams} base requests`, 0.9, of(mixed)),
    ...['greedy', 'top-k 50'].map((sampling) =>
      atMost(
        `a step over HTTP (${sampling}), of a bare step`,
        1.05,
        Number(find(overhead, { what: `HTTP stream, ${sampling}` })['of bare']),
      ),
    ),
    atMost(
      'p99 delay of the event loop at full load',
      20,
      Math.max(...load.rows.map((row) => Number(row['p99 loop delay ms']))),
      ' ms',
    ),
  ]
}

async function decodeTable({ scale, rounds, plain, engine }: ServeSubject): Promise<Table> {
  const asks = [
    [noBranches, plain, traffics.base] as const,
    ...Object.entries(traffics).map(([name, ask]) => [name, engine, ask] as const),
  ]
  const cases = scale.streams.flatMap((streams) =>
    asks.map(([weights, on, ask]) => ({
      what: { streams, weights },
      measure: () => decodeIntervals(on, streams, () => submitAll(on, requestsOf(scale, streams, ask ?? (() => ({}))))),
    })),
  )
  const measured = await inRounds(rounds, cases)
  const rows = measured.map(({ what: { streams, weights }, samples }): Row => {
    const base = measured.find(({ what }) => what.streams === streams && what.weights === 'base')
    const rate = (1000 * streams) / median(samples)
    const ofBase = median(base?.samples ?? []) / median(samples)
    return { streams, weights, 'tokens/s': rate, 'of base': ofBase, ...spreadOf(samples, 'ms') }
  })
  return {
    title: 'Decode',
    note: `milliseconds from step to step of the engine, ${scale.promptTokens} prompt tokens and more in the cache, no prompt in work`,
    rows,
  }
}

async function prefillTable({ scale, rounds, engine }: ServeSubject): Promise<Table> {
  const cases = scale.prefills.flatMap((tokens) =>
    Object.entries(traffics)
      .slice(0, 2)
      .map(([weights, ask]) => ({
        what: { tokens, weights },
        measure: async () => {
          // Never the same prompt twice, so that nothing can be known of it.
          const inputs = promptOf(tokens, Math.floor(performance.now() * 1000) % 1_000_003)
          const asked = { inputs, sampling: greedySampling, stop: [], maxNewTokens: 1, ...ask(0) }
          const { timings } = await engine.submit(asked).result
          return [timings.timeToFirstTokenMs]
        },
      })),
  )
  const rows = (await inRounds(rounds, cases)).map(
    ({ what: { tokens, weights }, samples }): Row => ({
      ...{ 'prompt tokens': tokens, weights, 'tokens/s': (1000 * tokens) / median(samples) },
      ...spreadOf(samples, 'ms'),
    }),
  )
  return {
    title: 'Prefill',
    note: 'milliseconds from arrival to the first token, one request alone, in chunks of 64',
    rows,
  }
}

/** The same steps bare, through the engine, and through HTTP with its client in the same process. */
async function overheadTable({ scale, rounds, base, threads, engine, http }: ServeSubject): Promise<Table> {
  const streams = scale.crowd
  const capacity = scale.shape.positions
  const bare = await BareLoop.create({ base, threads, targetModules: ['q_proj', 'v_proj'], slots: streams, capacity })
  const rows = Array.from({ length: streams }, () => baseOnly)
  const long = { ...scale, steps: 2 * scale.steps }
  const samplings = {
    greedy: greedySampling,
    'top-k 50': { ...greedySampling, temperature: 1, topK: 50, seed: 1 },
  }
  const cases = [
    { what: 'bare model', measure: () => bare.steps(long.steps, rows, long.promptTokens + streams) },
    ...Object.entries(samplings).flatMap(([name, sampling]) => {
      const asked = requestsOf(long, streams, () => ({ adapterId: null })).map((each) => ({ ...each, sampling }))
      const steps = (work: () => Promise<unknown>) => () => decodeIntervals(engine, streams, work)
      return [
        { what: `engine, ${name}`, measure: steps(() => submitAll(engine, asked)) },
        { what: `HTTP stream, ${name}`, measure: steps(() => Promise.all(asked.map((each) => http.stream(each)))) },
      ]
    }),
  ]
  const measured = await inRounds(rounds, cases)
  bare.close()
  const bareMs = median(measured[0]?.samples ?? [])
  return {
    title: 'What surrounds the model',
    note: `milliseconds of a step at ${streams} base-only streams; p50, and p10 where other programs disturb least`,
    rows: measured.map(({ what, samples }) => ({
      ...{ what, 'of bare': median(samples) / bareMs, 'p10 ms': quantile(samples, 0.1) },
      ...spreadOf(samples, 'ms'),
    })),
  }
}
