/** `dylora bench train`: how close a training step comes to the best matrix product of the same run. */
import { initializer, input } from '../../onnx/graph.ts'
import { serializeModel } from '../../onnx/model.ts'
import { Session } from '../../onnx/session.ts'
import { TrainingSettings } from '../../training/settings.ts'
import { type StepReport, train } from '../../training/train.ts'
import { median } from './report.ts'
import { type SyntheticShape, withSyntheticBase } from './synthetic-base.ts'

interface Case {
  readonly name: string
  readonly shape: SyntheticShape
  readonly batch: number
  readonly time: number
  readonly settings: Partial<TrainingSettings>
}

const tiny: SyntheticShape = { layers: 4, hiddenSize: 192, heads: 6, vocabSize: 4096, positions: 256 }
const small: SyntheticShape = { layers: 12, hiddenSize: 768, heads: 12, vocabSize: 8192, positions: 256 }
const adapters = { method: 'dylora', maxRank: 8 } as const

const cases: readonly Case[] = [
  { name: 'bundled shape, DyLoRA on all layers', shape: tiny, batch: 16, time: 64, settings: adapters },
  {
    name: 'bundled shape, DyLoRA on q and v',
    shape: tiny,
    batch: 16,
    time: 64,
    settings: { ...adapters, targetModules: ['q_proj', 'v_proj'] },
  },
  { name: 'bundled shape, all weights', shape: tiny, batch: 16, time: 64, settings: { method: 'full' } },
  {
    name: 'GPT-2 small (vocabulary 8192), DyLoRA on q and v',
    shape: small,
    batch: 8,
    time: 64,
    settings: { ...adapters, targetModules: ['q_proj', 'v_proj'] },
  },
]

export interface TrainBenchRow {
  readonly case: string
  readonly stepMs: number
  readonly tokensPerSecond: number
  readonly gflops: number
  readonly bestGemmGflops: number
  readonly ratio: number
}

/**
 * Each step is followed by the probes, so that both see the same machine. Rates are per second of processor time and
 * thread: what other programs take does not count.
 */
export async function benchTrain({ steps, threads }: { steps: number; threads: number }): Promise<TrainBenchRow[]> {
  const rows: TrainBenchRow[] = []
  for (const benchCase of cases)
    rows.push(await withSyntheticBase(benchCase.shape, (base) => measure(base, benchCase, steps, threads)))
  return rows
}

type Base = Parameters<Parameters<typeof withSyntheticBase>[1]>[0]

async function measure(
  base: Base,
  { name, shape, batch, time, settings }: Case,
  steps: number,
  threads: number,
): Promise<TrainBenchRow> {
  const probes = await Promise.all(probeShapes(shape, batch * time).map((dims) => Probe.create(dims, threads)))
  const sequences = Array.from({ length: batch }, (_, b) => ({
    ids: Int32Array.from({ length: time + 1 }, (_, t) => 1 + ((b * 31 + t * 7) % 255)),
    lossFrom: 1,
  }))
  const rates: { step: number; gemm: number; ms: number }[] = []
  const warmUp = 3
  let clock = processorMs()
  const learner = await train({
    base,
    data: { file: 'synthetic', digest: 'synthetic', sequences, leftOut: 0 },
    settings: TrainingSettings.parse({ ...settings, batchSize: batch, steps: steps + warmUp }),
    threads,
    onStep: async ({ step, rank, milliseconds }: StepReport, { flops }) => {
      const spent = processorMs() - clock
      const done = flops({ tokens: batch * time, time, selected: batch * time, rank: rank ?? 0 })
      const gemm = Math.max(...(await runAll(probes)))
      if (step > warmUp) rates.push({ step: done / spent / 1e6, gemm, ms: milliseconds })
      clock = processorMs()
    },
  })
  await learner.session.close()
  await Promise.all(probes.map((probe) => probe.close()))
  const best = median(rates.map(({ gemm }) => gemm))
  const gflops = median(rates.map(({ step }) => step))
  const stepMs = median(rates.map(({ ms }) => ms))
  return {
    case: name,
    stepMs,
    tokensPerSecond: (1000 * batch * time) / stepMs,
    gflops,
    bestGemmGflops: best,
    ratio: gflops / best,
  }
}

/** Processor time of this process, all threads together. */
function processorMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

type Dims = readonly [rows: number, inner: number, columns: number]

/** The products of the model itself, and a large square one. */
const probeShapes = ({ hiddenSize }: SyntheticShape, tokens: number): Dims[] => [
  [tokens, hiddenSize, 4 * hiddenSize],
  [tokens, 4 * hiddenSize, hiddenSize],
  [1024, 1024, 1024],
]

async function runAll(probes: readonly Probe[]): Promise<number[]> {
  const rates: number[] = []
  for (const probe of probes) rates.push(await probe.gflops())
  return rates
}

/** One matrix product with a constant, which the runtime packs: the best it can do. */
class Probe {
  readonly #session: Session
  readonly #dims: Dims
  readonly #x: Float32Array

  private constructor(session: Session, dims: Dims) {
    this.#session = session
    this.#dims = dims
    this.#x = new Float32Array(dims[0] * dims[1]).fill(0.5)
  }

  static async create(dims: Dims, threads: number): Promise<Probe> {
    const [rows, inner, columns] = dims
    const x = input('x', 'float32', [rows, inner])
    const w = initializer(
      'w',
      { dtype: 'float32', shape: [inner, columns] },
      new Float32Array(inner * columns).fill(0.5),
    )
    // One row of the product keeps the output small, so that fetching it costs nothing.
    return new Probe(await Session.create(serializeModel({ y: x.gemm(w).slice(0, 0, 1) }), { threads }), dims)
  }

  async gflops(): Promise<number> {
    const [rows, inner, columns] = this.#dims
    const started = processorMs()
    await this.#session.run({ x: { dtype: 'float32', shape: [rows, inner], data: this.#x } })
    return (2 * rows * inner * columns) / (processorMs() - started) / 1e6
  }

  close(): Promise<void> {
    return this.#session.close()
  }
}
