/** `dylora bench adapters`: what adapters cost that are loaded, by how many there are. */
import type { Adapter } from '../../dylora/adapter.ts'
import type { BaseModel } from '../../dylora/base-model.ts'
import type { Engine } from '../../inference/engine.ts'
import type { GenerateRequest } from '../../inference/request.ts'
import { atLeast, atMost, type Findings, median, type Row, spreadOf } from './report.ts'
import { inRounds } from './rounds.ts'
import type { BenchOptions } from './scale.ts'
import { syntheticAdapter } from './synthetic-adapter.ts'
import { withSyntheticBase } from './synthetic-base.ts'
import { decodeIntervals, endlessEngine, requestsOf, submitAll } from './traffic.ts'

const rank = 2
const mebibyte = 2 ** 20

export function benchAdapters(options: BenchOptions): Promise<Findings> {
  const { scale, threads } = options
  return withSyntheticBase(scale.shape, async (base) => {
    const engine = await endlessEngine(base, { threads, slots: scale.crowd })
    const rows: Row[] = []
    try {
      const before = { rss: 0, factors: 0 }
      for (const residents of scale.residents) {
        const factors = await fill(engine, base, residents)
        const rss = memory()
        if (before.rss === 0) Object.assign(before, { rss, factors })
        rows.push({
          ...(await steps(options, engine, residents)),
          'factors MiB': factors / mebibyte,
          'memory MiB': rss / mebibyte,
        })
      }
    } finally {
      await engine.close()
    }
    return { tables: [{ title: 'Adapters that are loaded', note: noteOf(options), rows }], goals: goalsOf(rows) }
  })
}

const noteOf = ({ scale }: BenchOptions): string =>
  `rank ${rank} on q and v; a step of ${scale.crowd} requests that each ask for another adapter, drawn evenly over all, of as many that ask for the base in the same rounds; memory is the resident set`

function goalsOf(rows: readonly Row[]) {
  const [first, last] = [rows[0], rows.at(-1)]
  if (first === undefined || last === undefined) return []
  const grown = Number(last['memory MiB']) - Number(first['memory MiB'])
  const factors = Number(last['factors MiB']) - Number(first['factors MiB'])
  return [
    atLeast(`speed with ${last.adapters} adapters, of base`, 0.9, 1 / Number(last['of base'])),
    atMost(`memory that ${last.adapters} adapters take, of their factors`, 1.1, grown / factors),
  ]
}

/** Collected first where the process was started with --expose-gc. */
function memory(): number {
  globalThis.gc?.()
  return process.memoryUsage().rss
}

/** Adds adapters until there are so many. Gives the bytes of all factors. */
async function fill(engine: Engine, base: BaseModel, residents: number): Promise<number> {
  for (let i = engine.registry.list().length; i < residents; i++) await engine.registry.add(residentAt(base, i))
  return engine.stats.residency.bytes
}

const residentAt = (base: BaseModel, index: number): Adapter =>
  syntheticAdapter(base, { name: `resident-${index}`, ranks: [rank], targetModules: ['q_proj', 'v_proj'] })

async function steps({ scale, rounds }: BenchOptions, engine: Engine, residents: number): Promise<Row> {
  const streams = scale.crowd
  const evenly = (stream: number) => `resident-${Math.floor((stream * residents) / streams)}`
  const measure = (asked: readonly GenerateRequest[]) => () =>
    decodeIntervals(engine, streams, () => submitAll(engine, asked))
  const [base, spread] = await inRounds(rounds, [
    { what: 'base', measure: measure(requestsOf(scale, streams, () => ({ adapterId: null }))) },
    { what: 'adapters', measure: measure(requestsOf(scale, streams, (i) => ({ adapterId: evenly(i), rank }))) },
  ])
  const samples = spread?.samples ?? []
  return { adapters: residents, 'of base': median(samples) / median(base?.samples ?? []), ...spreadOf(samples, 'ms') }
}
