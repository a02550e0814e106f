/** The loaded model and its cache: runs steps, checks adapters by dry runs, and takes in target modules that are new. */
import { type Adapter, type TargetModule, targetModules } from '../dylora/adapter.ts'
import { checkAgainstBase } from '../dylora/adapter-directory.ts'
import type { BaseModel } from '../dylora/base-model.ts'
import { errors } from '../errors.ts'
import { NativeRuntime } from '../onnx/native/runtime.ts'
import type { NativeSessionOptions } from '../onnx/native/session-options.ts'
import type { KvCache } from './kv-cache.ts'
import type { Logits } from './logits.ts'
import { type Step, type StepOutput, StepRunner } from './step-runner.ts'

export type Device = 'cpu' | 'cuda'

/** What differs between devices, in one place. */
export const devices = {
  // Adapters bring their modules when they come; float32 is exact.
  cpu: { cacheDtype: 'float32', modules: [] as TargetModule[], movesSlots: true },
  // The attention kernel has no float32. Memory belongs to the session, so one session takes every module from the start.
  cuda: { cacheDtype: 'float16', modules: [...targetModules], movesSlots: false },
} as const

export interface ModelHostOptions {
  readonly base: BaseModel
  readonly device: Device
  readonly deviceId?: number
  readonly gpuMemLimitBytes?: number
  readonly intraOpNumThreads?: number
  /** Of keys and values; by default float32 on CPU, which is exact, and float16 on CUDA, which has no other. */
  readonly cacheDtype?: 'float32' | 'float16' | undefined
  /** Slots for requests; dry runs have one more of their own. */
  readonly slots: number
}

export class ModelHost {
  readonly cache: KvCache
  readonly #options: ModelHostOptions
  #runner: StepRunner
  #runs = 0

  private constructor(options: ModelHostOptions, runner: StepRunner) {
    this.#options = options
    this.#runner = runner
    this.cache = runner.newCache(options.slots + 1, options.base.config.positions)
  }

  /** Loads the model, and proves that it runs and that the cache is written in place. Throws `device_unavailable`. */
  static async create(options: ModelHostOptions): Promise<ModelHost> {
    const host = new ModelHost(options, await newRunner(options, devices[options.device].modules))
    await host.#selfTest()
    return host
  }

  /** Valid until the next step of the same kind. */
  async run(step: Step): Promise<StepOutput> {
    const output = await this.#runner.run(this.cache, step)
    this.#runs += 1
    return output
  }

  /** Runs that came to their end. */
  get runs(): number {
    return this.#runs
  }

  /** How many of the likeliest tokens each row tells. */
  get likeliestTokens(): number {
    return this.#runner.graph.likeliestTokens
  }

  /** Row `row` of what `run` gave. */
  row(output: StepOutput, row: number): Logits {
    const { vocabSize, likeliestTokens } = this.#runner.graph
    const first = row * likeliestTokens
    // Its probability is e^(logit - normalizer).
    const highest = output.likeliestLogits[first] as number
    return {
      values: output.logits?.subarray(row * vocabSize, (row + 1) * vocabSize) ?? null,
      likeliest: output.likeliestIds.subarray(first, first + likeliestTokens),
      likeliestLogits: output.likeliestLogits.subarray(first, first + likeliestTokens),
      normalizer: highest - Math.log(output.highestProbability[row] as number),
    }
  }

  /**
   * Does the adapter fit the base, change anything, and give finite logits at every rank? Throws `adapter_invalid`. Modules that no adapter
   * had so far bring a new session, which replaces the old one only when all is well. No step may run meanwhile.
   */
  async check(adapter: Adapter): Promise<void> {
    checkAgainstBase(adapter, this.#options.base)
    // Otherwise the base would answer under the adapter's name.
    if (changesNothing(adapter)) throw errors.adapterInvalid(adapter.name, 'it changes nothing: its factors are zero')
    const current = this.#runner
    const missing = adapter.targetModules.filter((module) => !current.targetModules.has(module))
    if (missing.length > 0) this.#runner = await newRunner(this.#options, [...current.targetModules, ...missing])
    try {
      for (const rank of adapter.ranks) await this.#dryRun(adapter, rank)
    } catch (error) {
      if (this.#runner !== current) this.#runner.close()
      this.#runner = current
      throw error
    }
    if (this.#runner !== current) current.close()
  }

  async #dryRun(adapter: Adapter | null, rank: number): Promise<void> {
    const { base, slots } = this.#options
    const ids = [base.bosTokenId ?? base.eosTokenIds[0] ?? 0, 0]
    const { logits } = await this.run({
      firstSlot: slots,
      rows: [{ ids, cached: 0, weights: { adapter, rank } }],
      select: [1],
      wantsLogits: true,
    })
    if (logits?.every(Number.isFinite)) return
    const reason = `its dry run at rank ${rank} gave logits that are not finite`
    throw adapter === null
      ? errors.baseModelInvalid(base.directory, reason)
      : errors.adapterInvalid(adapter.name, reason)
  }

  /** On the host, a run must have written to the memory that we hold. */
  async #selfTest(): Promise<void> {
    await this.#dryRun(null, 0)
    const [key] = this.cache.slots(this.#options.slots, 1)[0] ?? []
    if (key?.where === 'host' && !key.data.some((value) => value !== 0)) {
      throw errors.deviceUnavailable(this.#options.device, 'the runtime does not write the cache in place')
    }
  }

  close(): void {
    this.#runner.close()
    this.cache.close()
  }
}

const changesNothing = ({ factors }: Adapter): boolean =>
  [...factors.values()].every(({ loraA, loraB }) => loraA.every(isZero) || loraB.every(isZero))

const isZero = (value: number): boolean => value === 0

function newRunner(options: ModelHostOptions, modules: readonly TargetModule[]): Promise<StepRunner> {
  const { base, device, deviceId, gpuMemLimitBytes, intraOpNumThreads } = options
  const { cacheDtype = devices[device].cacheDtype } = options
  if (device === 'cuda' && cacheDtype === 'float32') {
    throw errors.deviceUnavailable(device, 'its attention kernel has no float32: expected a cache of float16')
  }
  const session: Omit<NativeSessionOptions, 'externalDataDirectory'> = {
    provider: device,
    ...(deviceId !== undefined && { deviceId }),
    ...(gpuMemLimitBytes !== undefined && { gpuMemLimitBytes }),
    ...(intraOpNumThreads !== undefined && { intraOpNumThreads }),
  }
  return StepRunner.create({ runtime: NativeRuntime.open(), base, session, targetModules: modules, cacheDtype })
}
