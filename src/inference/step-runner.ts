/** Runs one step of the serving graph: binds cache, factors and small inputs, and gives back logits. */
import type { TargetModule } from '../dylora/adapter.ts'
import type { BaseModel } from '../dylora/base-model.ts'
import { type ServingGraph, servingGraph } from '../dylora/graphs.ts'
import type { NativeBinding } from '../onnx/native/binding.ts'
import type { ElementArray } from '../onnx/native/element-type.ts'
import type { NativeRuntime } from '../onnx/native/runtime.ts'
import type { NativeSession } from '../onnx/native/session.ts'
import type { NativeSessionOptions } from '../onnx/native/session-options.ts'
import { hostTensor, type NativeTensor, wrapHost } from '../onnx/native/tensor.ts'
import { KvCache } from './kv-cache.ts'
import { fillMask, type Packing, pack, packFactors, type Weights } from './lora-packing.ts'

/** A row of the batch: its new tokens, where they begin, and under which weights they are computed. */
export interface StepRow {
  readonly ids: readonly number[]
  /** Tokens of the row that are in the cache already. */
  readonly cached: number
  readonly weights: Weights
}

export interface Step {
  /** Slot of the first row; the others follow. */
  readonly firstSlot: number
  /** One row of any length, or rows of one token each. */
  readonly rows: readonly StepRow[]
  /** Flat token rows whose logits are wanted. */
  readonly select: readonly number[]
  /** Otherwise only the likeliest tokens leave the device. */
  readonly wantsLogits: boolean
}

/** Of each selected token row. */
export interface StepOutput {
  /** [selected, vocabSize]; null where they were not wanted. */
  readonly logits: Float32Array | null
  /** [selected, likeliestTokens], likeliest first. */
  readonly likeliestIds: Int32Array
  readonly likeliestLogits: Float32Array
  /** [selected]; that of the likeliest. */
  readonly highestProbability: Float32Array
}

export interface StepRunnerOptions {
  readonly runtime: NativeRuntime
  readonly base: BaseModel
  readonly session: Omit<NativeSessionOptions, 'externalDataDirectory'>
  readonly targetModules: readonly TargetModule[]
  readonly cacheDtype: 'float32' | 'float16'
}

export class StepRunner {
  readonly graph: ServingGraph
  readonly targetModules: ReadonlySet<TargetModule>
  readonly session: NativeSession
  readonly #onHost: boolean
  /** Prefill and decode differ in every shape, so each keeps its own binding. */
  readonly #lanes: { readonly prefill: Lane; readonly decode: Lane }

  private constructor(
    graph: ServingGraph,
    session: NativeSession,
    { targetModules, session: options }: StepRunnerOptions,
  ) {
    this.graph = graph
    this.session = session
    this.targetModules = new Set(targetModules)
    this.#onHost = options.provider === 'cpu'
    this.#lanes = { prefill: new Lane(session), decode: new Lane(session) }
  }

  static async create(options: StepRunnerOptions): Promise<StepRunner> {
    const { runtime, base, session, targetModules, cacheDtype } = options
    const graph = servingGraph(base, { targetModules, cacheDtype })
    const { model, externalDataDirectory } = graph
    return new StepRunner(graph, await runtime.createSession(model, { ...session, externalDataDirectory }), options)
  }

  newCache(slots: number, capacity: number): KvCache {
    const { layers, cacheHeads: heads, cacheHeadSize: headSize, cacheDtype: dtype } = this.graph
    return new KvCache(this.session, { layers, slots, heads, capacity, headSize, dtype })
  }

  /** Valid until the next step of the same kind. */
  async run(cache: KvCache, step: Step): Promise<StepOutput> {
    const lane = this.#lanes[step.rows.length === 1 && (step.rows[0]?.ids.length ?? 0) > 1 ? 'prefill' : 'decode']
    const tokens = step.rows.flatMap(({ ids, weights }) => ids.map(() => weights))
    this.#bindTokens(lane, step)
    this.#bindCache(lane, cache, step)
    if (this.targetModules.size > 0) this.#bindFactors(lane, pack(step.rows.map(({ weights }) => weights)), tokens)
    const { vocabSize, likeliestTokens } = this.graph
    const selected = step.select.length
    const output = {
      logits: step.wantsLogits ? lane.output('logits', 'float32', [selected, vocabSize]) : null,
      likeliestIds: lane.output('likeliest_ids', 'int32', [selected, likeliestTokens]),
      likeliestLogits: lane.output('likeliest_logits', 'float32', [selected, likeliestTokens]),
      highestProbability: lane.output('highest_probability', 'float32', [selected]),
    }
    if (!step.wantsLogits) lane.leave('logits', selected * vocabSize, [selected, vocabSize])
    await lane.binding.run()
    return output
  }

  #bindTokens(lane: Lane, { rows, select }: Step): void {
    const lengths = rows.map(({ ids, cached }) => cached + ids.length)
    const inputs: Readonly<Record<string, readonly number[]>> = {
      input_ids: rows.flatMap(({ ids }) => ids),
      positions: rows.flatMap(({ ids, cached }) => ids.map((_, i) => cached + i)),
      select,
      seqlens_k: lengths.map((length) => length - 1),
    }
    for (const [name, values] of Object.entries(inputs)) this.#feed(lane, name, [values.length], values)
    this.#feed(lane, 'total_sequence_length', [], [Math.max(...lengths)])
  }

  #feed(lane: Lane, name: string, shape: readonly number[], values: readonly number[]): void {
    const tensor = lane.buffer(name, 'int32', shape)
    tensor.data.set(values)
    lane.bindInput(name, tensor, this.#onHost)
  }

  #bindCache(lane: Lane, cache: KvCache, { firstSlot, rows }: Step): void {
    lane.bindState('cache', `${firstSlot}+${rows.length}`, cache, (binding) => {
      for (const [layer, [key, value]] of cache.slots(firstSlot, rows.length).entries()) {
        for (const [kind, tensor] of [
          ['key', key],
          ['value', value],
        ] as const) {
          binding.bindInput(`past_${kind}.${layer}`, tensor)
          binding.bindOutput(`present_${kind}.${layer}`, tensor)
        }
      }
    })
  }

  #bindFactors(lane: Lane, packing: Packing, tokens: readonly Weights[]): void {
    const mask = lane.buffer('lora_mask', 'float32', [tokens.length, packing.rows])
    fillMask(mask.data, packing, tokens)
    lane.bindInput('lora_mask', mask, this.#onHost)
    lane.bindState('factors', packing.key, this, (binding) => {
      for (const layer of this.graph.adapted) {
        const { loraA, loraB } = packFactors(packing, layer)
        binding.bindInput(layer.inputA, factorTensor(loraA, packing.rows, layer.inFeatures))
        binding.bindInput(layer.inputB, factorTensor(loraB, packing.rows, layer.outFeatures))
      }
    })
  }

  close(): void {
    this.session.close()
  }
}

/** Factors never lie in shared memory, which the runtime could not read. */
const factorTensor = (data: Float32Array, rows: number, features: number): NativeTensor =>
  wrapHost(data as Float32Array<ArrayBuffer>, 'float32', [rows, features])

type BufferType = 'int32' | 'float32'

/** A binding with the buffers of its small tensors, which are bound anew only when their shape changes. */
class Lane {
  readonly binding: NativeBinding
  readonly #buffers = new Map<string, NativeTensor>()
  readonly #views = new Map<string, NativeTensor>()
  readonly #bound = new Map<string, unknown>()
  readonly #states = new Map<string, { readonly owner: object; readonly key: string }>()

  readonly #session: NativeSession
  /** What stays on the device, by name. */
  readonly #left = new Map<string, NativeTensor<'float32'>>()

  constructor(session: NativeSession) {
    this.#session = session
    this.binding = session.createBinding()
  }

  /** A tensor of this shape over memory that is kept and grows as needed. */
  buffer<D extends BufferType>(name: string, dtype: D, shape: readonly number[]): NativeTensor<D> {
    const size = shape.reduce((product, dim) => product * dim, 1)
    const view = this.#views.get(name) as NativeTensor<D> | undefined
    if (view !== undefined && view.shape.length === shape.length && view.shape.every((dim, i) => dim === shape[i]))
      return view
    let whole = this.#buffers.get(name) as NativeTensor<D> | undefined
    if (whole === undefined || whole.size < size) {
      whole = hostTensor(dtype, [Math.max(1, size)])
      this.#buffers.set(name, whole)
    }
    const fresh = whole.view(0, shape)
    this.#views.set(name, fresh)
    return fresh
  }

  /** On the host a bound tensor is read at each run; a device gets its copy when it is bound. */
  bindInput(name: string, tensor: NativeTensor, onHost: boolean): void {
    if (onHost && this.#bound.get(name) === tensor) return
    this.binding.bindInput(name, tensor)
    this.#bound.set(name, tensor)
  }

  /** The next run writes this output to memory of the device, from which nobody fetches it. */
  leave(name: string, size: number, shape: readonly number[]): void {
    const before = this.#left.get(name)
    const isLarge = before !== undefined && before.size >= size
    const whole = isLarge ? before : this.#session.allocate('float32', [size], 'device')
    const tensor = whole.view(0, shape)
    this.binding.bindOutput(name, tensor)
    this.#bound.set(name, tensor)
    this.#left.set(name, whole)
    if (!isLarge) before?.close()
  }

  /** The elements that the next run writes. */
  output<D extends BufferType>(name: string, dtype: D, shape: readonly number[]): ElementArray<D> {
    const tensor = this.buffer(name, dtype, shape)
    if (this.#bound.get(name) !== tensor) this.binding.bindOutput(name, tensor)
    this.#bound.set(name, tensor)
    return tensor.data
  }

  /**
   * Binds the tensors of `what` where this is another state than the last one that was bound. A state that failed
   * half-way is none: the next step binds anew, and never runs on tensors of two states.
   */
  bindState(what: string, key: string, owner: object, bind: (binding: NativeBinding) => void): void {
    const last = this.#states.get(what)
    if (last?.owner === owner && last.key === key) return
    this.#states.delete(what)
    bind(this.binding)
    this.#states.set(what, { owner, key })
  }
}
