/** `dylora bench soak`: does memory stay flat while adapters and requests come and go, thousands of times? */
import type { Adapter } from '../../dylora/adapter.ts'
import type { BaseModel } from '../../dylora/base-model.ts'
import { readTokenizer } from '../../dylora/tokenizer.ts'
import { hasCode } from '../../errors.ts'
import { Engine } from '../../inference/engine.ts'
import { type GenerateRequest, greedySampling } from '../../inference/request.ts'
import { atMost, type Findings, type Goal, type Row } from './report.ts'
import type { BenchOptions, Scale } from './scale.ts'
import { syntheticAdapter } from './synthetic-adapter.ts'
import { withSyntheticBase } from './synthetic-base.ts'
import { promptOf } from './traffic.ts'

const mebibyte = 2 ** 20
/** Memory is looked at so often over the cycles of a case; the first tenth is the warm-up. */
const marks = 10
/** Adapters that take turns. */
const circle = 8

interface Soaked {
  readonly what: string
  readonly cycles: (scale: Scale) => number
  /** One turn; everything that it brought is gone when it is over. */
  readonly turn: (world: World, cycle: number) => Promise<void>
}

interface World {
  readonly engine: Engine
  readonly adapters: readonly Adapter[]
  readonly positions: number
}

const soaks: readonly Soaked[] = [
  {
    what: 'an adapter is loaded, answers at two ranks, and is unloaded',
    cycles: ({ soak }) => soak.loads,
    turn: async ({ engine, adapters }, cycle) => {
      const adapter = adapters[cycle % circle] as Adapter
      const name = `fresh-${cycle}`
      await engine.registry.add({ ...adapter, name, digest: `${adapter.digest}-${cycle}` })
      await Promise.all([1, 4].map((rank) => engine.submit(asking({ adapterId: name, rank })).result))
      engine.registry.remove(name)
    },
  },
  {
    what: 'factors that are out of memory are read for a request, others leave for them',
    cycles: ({ soak }) => soak.loads,
    turn: async ({ engine }, cycle) => {
      await engine.submit(asking({ adapterId: `adapter-${cycle % circle}`, rank: 2 })).result
    },
  },
  {
    what: 'a request is cancelled at a random moment, between others that end',
    cycles: ({ soak }) => soak.cancellations,
    turn: async ({ engine, positions }, cycle) => {
      const controller = new AbortController()
      const inputs = promptOf(positions / 2, cycle)
      const cancelled = engine.submit(asking({ inputs, maxNewTokens: 16, signal: controller.signal })).result
      const other = engine.submit(asking({ adapterId: `adapter-${cycle % circle}`, rank: 4 })).result
      for (let turns = (cycle * 7) % 23; turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve))
      controller.abort()
      await cancelled.catch((error: unknown) => {
        if (!hasCode(error, 'cancelled')) throw error
      })
      await other
    },
  },
]

const asking = (changes: Partial<GenerateRequest>): GenerateRequest => ({
  ...{ inputs: 'name', maxNewTokens: 3, sampling: greedySampling, stop: [], adapterId: null },
  ...changes,
})

export function benchSoak({ scale, threads }: BenchOptions): Promise<Findings> {
  // What leaks is counted in handles and buffers: a small shape shows it sooner.
  return withSyntheticBase(scale.soak.shape, async (base) => {
    const world = await populate(base, threads)
    try {
      const measured: { rows: Row[]; goal: Goal }[] = []
      for (const soak of soaks) measured.push(await run(soak, scale, world))
      return {
        tables: [
          {
            title: 'Memory over cycles',
            note: `MiB after a collection, where the process was started with --expose-gc; ${circle} adapters with room for two in memory`,
            rows: measured.flatMap(({ rows }) => rows),
          },
        ],
        goals: measured.map(({ goal }) => goal),
      }
    } finally {
      await world.engine.close()
    }
  })
}

/** Room for two of the adapters, which bring their factors again when they are asked for. */
async function populate(base: BaseModel, threads: number): Promise<World> {
  const adapters = Array.from({ length: circle }, (_, i) =>
    syntheticAdapter(base, { name: `adapter-${i}`, ranks: [1, 2, 4], targetModules: ['q_proj', 'v_proj'] }),
  )
  const bytes = [...(adapters[0]?.factors.values() ?? [])].reduce(
    (sum, { loraA, loraB }) => sum + loraA.byteLength + loraB.byteLength,
    0,
  )
  const engine = await Engine.create({
    ...{ base, tokenizer: await readTokenizer(base.directory), device: 'cpu', intraOpNumThreads: threads },
    ...{ adapterMemoryBytes: 2 * bytes, prefixCacheBytes: mebibyte },
  })
  for (const adapter of adapters) {
    const { name, ranks, targetModules } = adapter
    await engine.registry.add(adapter, async () => syntheticAdapter(base, { name, ranks, targetModules }).factors)
  }
  return { engine, adapters, positions: base.config.positions }
}

async function run({ what, cycles, turn }: Soaked, scale: Scale, world: World): Promise<{ rows: Row[]; goal: Goal }> {
  const count = cycles(scale)
  const rows: Row[] = []
  for (let cycle = 1; cycle <= count; cycle++) {
    await turn(world, cycle)
    if (cycle % (count / marks) === 0) rows.push({ cycle: what, cycles: cycle, ...memory() })
  }
  const [first, last] = [rows[0], rows.at(-1)]
  const growth = Number(last?.['resident set']) / Number(first?.['resident set'])
  return { rows, goal: atMost(`memory after ${count} cycles, of that after a tenth of them: ${what}`, 1.1, growth) }
}

function memory(): Record<string, number> {
  globalThis.gc?.()
  const { rss, heapUsed, external } = process.memoryUsage()
  return { 'resident set': rss / mebibyte, heap: heapUsed / mebibyte, external: external / mebibyte }
}
