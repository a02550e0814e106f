/** The model without an engine around it: steps of a fixed batch, one after the other. */
import type { TargetModule } from '../../dylora/adapter.ts'
import type { BaseModel } from '../../dylora/base-model.ts'
import type { KvCache } from '../../inference/kv-cache.ts'
import type { Weights } from '../../inference/lora-packing.ts'
import { StepRunner } from '../../inference/step-runner.ts'
import { NativeRuntime } from '../../onnx/native/runtime.ts'

export const baseOnly: Weights = { adapter: null, rank: 0 }

export interface BareLoopOptions {
  readonly base: BaseModel
  readonly threads: number
  readonly targetModules: readonly TargetModule[]
  readonly slots: number
  readonly capacity: number
  /** Prefix of the file that `endProfiling` writes. */
  readonly profile?: string
}

export class BareLoop {
  readonly #runner: StepRunner
  readonly #cache: KvCache

  private constructor(runner: StepRunner, cache: KvCache) {
    this.#runner = runner
    this.#cache = cache
  }

  static async create({ base, threads, targetModules, slots, capacity, profile }: BareLoopOptions): Promise<BareLoop> {
    const runner = await StepRunner.create({
      ...{ runtime: NativeRuntime.open(), base, targetModules, cacheDtype: 'float32' },
      session: { provider: 'cpu', intraOpNumThreads: threads, ...(profile !== undefined && { profile }) },
    })
    const cache = runner.newCache(slots, capacity)
    // Memory that was never written is one page of zeros, and reading it costs nothing.
    for (const { data } of cache.slots(0, slots).flat()) (data as Float32Array).fill(0.01)
    return new BareLoop(runner, cache)
  }

  /** Milliseconds of each step, a token for each row, after one that is not counted: it binds what is new. */
  async steps(count: number, rows: readonly Weights[], cached: number): Promise<number[]> {
    const durations: number[] = []
    for (let step = 0; step <= count; step++) durations.push(await this.step(rows, cached + step))
    return durations.slice(1)
  }

  async step(rows: readonly Weights[], cached: number): Promise<number> {
    const started = performance.now()
    await this.#runner.run(this.#cache, {
      firstSlot: 0,
      // As the engine has them, whose prompts come one after the other: rows of one length are faster.
      rows: rows.map((weights, i) => ({ ids: [1 + (i % 200)], cached: cached + i, weights })),
      select: rows.map((_, i) => i),
      wantsLogits: false,
    })
    return performance.now() - started
  }

  /** The path of the profile. */
  endProfiling(): string {
    return this.#runner.session.endProfiling()
  }

  close(): void {
    this.#cache.close()
    this.#runner.close()
  }
}
