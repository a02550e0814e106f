/** `dylora bench profile`: where the time of a step goes, by the runtime's own clock. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import type { Weights } from '../../inference/lora-packing.ts'
import { BareLoop, baseOnly } from './bare-loop.ts'
import { atLeast, type Findings, type Row } from './report.ts'
import type { BenchOptions } from './scale.ts'
import { syntheticAdapter } from './synthetic-adapter.ts'
import { withSyntheticBase } from './synthetic-base.ts'

/** Events of ONNX Runtime's profile; times in microseconds. */
const Event = z.looseObject({
  cat: z.string(),
  name: z.string(),
  ts: z.number(),
  dur: z.number(),
  args: z.looseObject({ op_name: z.string().optional() }).optional(),
})
type Event = z.infer<typeof Event>

const products = new Set(['Gemm', 'MatMul', 'FusedMatMul', 'FusedGemm', 'MatMulNBits'])

/** The first part that holds what a kernel did. */
const parts: readonly (readonly [part: string, holds: (op: string, name: string) => boolean])[] = [
  ['head', (op, name) => products.has(op) && name.startsWith('lm_head')],
  ['matrix products of the layers', (op) => products.has(op)],
  ['attention', (op) => op === 'GroupQueryAttention'],
  ['finding the likeliest tokens', (op) => ['TopK', 'Softmax', 'ReduceMax'].includes(op)],
  [
    'norms and activations',
    (op) => ['LayerNormalization', 'SkipLayerNormalization', 'Gelu', 'FastGelu', 'BiasGelu'].includes(op),
  ],
  ['other kernels', () => true],
]

const main = ['head', 'matrix products of the layers', 'attention']

export function benchProfile({ scale, rounds, threads }: BenchOptions): Promise<Findings> {
  const rank = Math.min(16, Math.max(...scale.ranks))
  return withSyntheticBase(scale.shape, async (base) => {
    const adapter = syntheticAdapter(base, { name: 'profiled', ranks: [rank], targetModules: ['q_proj', 'v_proj'] })
    const rows: Row[] = []
    for (const streams of [1, scale.crowd]) {
      for (const [weights, label] of [
        [baseOnly, 'base'],
        [{ adapter, rank }, `rank ${rank}`],
      ] as const) {
        const shared = { base, threads, slots: scale.crowd, capacity: scale.shape.positions }
        const steps = rounds * scale.steps
        const shares = await profiled(shared, Array<Weights>(streams).fill(weights), {
          steps,
          cached: scale.promptTokens,
        })
        rows.push(...shares.map((share) => ({ streams, weights: label, ...share })))
      }
    }
    const crowded = rows.filter(({ streams, weights }) => streams === scale.crowd && weights !== 'base')
    const share = crowded.reduce((sum, row) => sum + (main.includes(String(row.part)) ? Number(row.share) : 0), 0)
    return {
      tables: [
        {
          title: 'Where a step goes',
          note: 'share of the wall clock; mean microseconds of a decode step of the bare model, profiling included',
          rows,
        },
      ],
      goals: [
        atLeast(`products, attention and head, of a step at ${scale.crowd} streams and rank ${rank}`, 0.8, share),
      ],
    }
  })
}

type Shape = Omit<Parameters<typeof BareLoop.create>[0], 'targetModules'>

/** Mean microseconds of each part, over all steps but the first. */
async function profiled(
  shape: Shape,
  rows: readonly Weights[],
  { steps, cached }: { steps: number; cached: number },
): Promise<Row[]> {
  const directory = await mkdtemp(join(tmpdir(), 'dylora-profile-'))
  const loop = await BareLoop.create({ ...shape, targetModules: ['q_proj', 'v_proj'], profile: join(directory, 'run') })
  try {
    const wall = (await loop.steps(steps, rows, cached)).reduce((sum, ms) => sum + 1000 * ms, 0)
    const events = z.array(Event).parse(JSON.parse(await readFile(loop.endProfiling(), 'utf8')))
    return sharesOf(events, wall).map(({ part, total }) => ({ part, share: total / wall, microseconds: total / steps }))
  } finally {
    loop.close()
    await rm(directory, { recursive: true, force: true })
  }
}

/** The first run binds what is new and is left out. */
function sharesOf(events: readonly Event[], wall: number): { part: string; total: number }[] {
  const runs = events.filter(({ name }) => name === 'model_run').toSorted((a, b) => a.ts - b.ts)
  const since = runs[1]?.ts ?? Number.POSITIVE_INFINITY
  const kernels = events.filter(({ cat, ts }) => cat === 'Node' && ts >= since)
  const totals = new Map(parts.map(([part]) => [part, 0]))
  for (const { name, dur, args } of kernels) {
    const [part = ''] = parts.find(([, holds]) => holds(args?.op_name ?? '', name)) ?? []
    totals.set(part, (totals.get(part) ?? 0) + dur)
  }
  const inKernels = [...totals.values()].reduce((sum, total) => sum + total, 0)
  const inRuns = runs.slice(1).reduce((sum, { dur }) => sum + dur, 0)
  return [
    ...[...totals].map(([part, total]) => ({ part, total })),
    { part: 'the runtime between kernels', total: inRuns - inKernels },
    { part: 'around the runtime', total: wall - inRuns },
  ]
}
