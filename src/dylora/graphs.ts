/** One model, three graphs: serving (cached, mixed ranks), scoring (log-probabilities) and training (loss and gradients). */
import { dirname } from 'node:path'
import { backward } from '../onnx/autodiff.ts'
import { matrixFlops } from '../onnx/flops.ts'
import { input, type Value } from '../onnx/graph.ts'
import { serializeModel } from '../onnx/model.ts'
import type { ModuleKey, TargetModule } from './adapter.ts'
import type { BaseModel } from './base-model.ts'
import { type Gpt2Parts, gpt2 } from './gpt2.ts'
import { moduleFeatures } from './gpt2-config.ts'
import {
  cachedAttention,
  causalAttention,
  dyloraLinear,
  likeliest,
  loraAName,
  loraBName,
  loraInputs,
  loraMaskInput,
} from './layers.ts'
import { denseProjection, frozenParameters, frozenProjection, learnedParameters } from './weights.ts'

/** A layer that takes factors, and the names of the inputs that feed them. */
export interface AdaptedLayer {
  readonly key: ModuleKey
  readonly inputA: string
  readonly inputB: string
  readonly inFeatures: number
  readonly outFeatures: number
}

interface GraphFile {
  readonly model: Uint8Array
  /** Where the runtime finds the weights. */
  readonly externalDataDirectory: string
  readonly adapted: readonly AdaptedLayer[]
}

export interface ServingGraphOptions {
  readonly targetModules: readonly TargetModule[]
  readonly cacheDtype: 'float32' | 'float16'
}

export interface ServingGraph extends GraphFile {
  readonly layers: number
  readonly cacheHeads: number
  readonly cacheHeadSize: number
  readonly cacheDtype: 'float32' | 'float16'
  readonly vocabSize: number
  /** How many of the likeliest tokens each row tells. */
  readonly likeliestTokens: number
  readonly positions: number
}

/**
 * One step over a cache, for prefill and decode alike.
 * Inputs: `input_ids`, `positions` int32 [tokens]; `select` int32 [selected]; `seqlens_k` int32 [batch];
 * `total_sequence_length` int32 []; `past_key.i`, `past_value.i` [batch, heads, capacity, headSize];
 * with target modules `lora_mask` [tokens, rank], `lora_A.*` [rank, in], `lora_B.*` [rank, out].
 * Outputs: `logits` [selected, vocab]; `likeliest_ids` int32 and `likeliest_logits` [selected, likeliestTokens],
 * `highest_probability` [selected]; `present_key.i`, `present_value.i`, to be bound to the buffers of the past.
 */
export function servingGraph(base: BaseModel, { targetModules, cacheDtype }: ServingGraphOptions): ServingGraph {
  const { config } = base
  const cacheHeadSize = Math.ceil(config.headSize / 8) * 8
  const cacheShape = ['batch', config.heads, 'capacity', cacheHeadSize] as const
  const seqlensK = input('seqlens_k', 'int32', ['batch'])
  const totalSequenceLength = input('total_sequence_length', 'int32', [])
  const lora = loraBranches(base, targetModules)
  const present: Record<string, Value> = {}
  const parameter = frozenParameters(base)
  const logits = gpt2(
    config,
    {
      parameter,
      project: frozenProjection(base, parameter, 'MatMulNBits'),
      adapt: lora.adapt,
      attention: (q, k, v, layer, scale) => {
        const cache = cachedAttention(q, k, v, scale, {
          heads: config.heads,
          headSize: config.headSize,
          cacheHeadSize,
          cacheDtype,
          seqlensK,
          totalSequenceLength,
          pastKey: input(`past_key.${layer}`, cacheDtype, cacheShape),
          pastValue: input(`past_value.${layer}`, cacheDtype, cacheShape),
        })
        present[`present_key.${layer}`] = cache.presentKey
        present[`present_value.${layer}`] = cache.presentValue
        return cache.output
      },
    },
    tokenInputs(),
  )
  const likeliestTokens = Math.min(64, config.vocabSize)
  return {
    model: serializeModel({ logits, ...likeliest(logits, likeliestTokens), ...present }),
    externalDataDirectory: dirname(base.weights.path),
    adapted: lora.adapted,
    likeliestTokens,
    layers: config.layers,
    cacheHeads: config.heads,
    cacheHeadSize,
    cacheDtype,
    vocabSize: config.vocabSize,
    positions: config.positions,
  }
}

export interface SequenceGraphOptions {
  readonly targetModules: readonly TargetModule[]
  /** Sequences per run; a smaller batch is filled up with rows of weight 0. */
  readonly batch: number
}

/**
 * Teacher-forced log-probabilities, without a cache. Tokens are time-major: row t·batch + b.
 * Inputs: `input_ids`, `positions` int32 [tokens]; `select` int32, `targets` int64 [selected];
 * `attention_mask` [time, time]; with target modules `lora_mask` and the factors.
 * Output: `log_probabilities` [selected, 1] of the targets.
 */
export function scoringGraph(base: BaseModel, options: SequenceGraphOptions): GraphFile {
  const lora = loraBranches(base, options.targetModules)
  const parameter = frozenParameters(base)
  const project = frozenProjection(base, parameter, 'Gemm')
  const logits = sequenceLogits(base, options.batch, { parameter, project, adapt: lora.adapt })
  const targets = input('targets', 'int64', ['selected'])
  const logProbabilities = logits.logSoftmax().gatherElements(targets.reshape(['selected', 1]), 1)
  return {
    model: serializeModel({ log_probabilities: logProbabilities }),
    externalDataDirectory: dirname(base.weights.path),
    adapted: lora.adapted,
  }
}

export interface TrainingGraphOptions extends SequenceGraphOptions {
  /** `lora` learns the factors of the target modules, `full` every weight, which then are inputs of their own names. */
  readonly learn: 'lora' | 'full'
  readonly labelSmoothing: number
  /** Probability with which an input of a low-rank branch is dropped; adds the inputs `dropout_mask.*`. */
  readonly loraDropout: number
  /** Adds inputs `teachers` [selected], a row each, and `distillation_weights` [selected, 1]: a row's target is its teacher's distribution too. */
  readonly distillation: boolean
}

export interface TrainingGraph extends GraphFile {
  /** The inputs that are learnt, in the order of their gradients. */
  readonly learned: readonly {
    readonly name: string
    readonly gradient: string
    readonly shape: readonly (number | string)[]
  }[]
  /** Floating-point operations of a run's matrix products, for `tokens`, `time`, `selected` and `rank`. */
  readonly flops: (dims: Readonly<Record<string, number>>) => number
  /** Boolean inputs [tokens, width] that say what dropout keeps. */
  readonly dropoutMasks: readonly { readonly name: string; readonly width: number }[]
}

/**
 * Loss and its gradients. Inputs as for scoring, and `loss_weights` [selected, 1]: they carry the loss mask, the mean
 * and the share of an accumulated batch at once. Outputs: `loss`, the weighted sum, and `gradient.<input>`.
 */
export function trainingGraph(base: BaseModel, options: TrainingGraphOptions): TrainingGraph {
  const dropout = new LoraDropout(options.loraDropout)
  const lora = loraBranches(base, options.learn === 'lora' ? options.targetModules : [], (key, x) =>
    dropout.apply(key, x),
  )
  const weights = options.learn === 'full' ? learnedParameters(base) : null
  const parameter = weights === null ? frozenParameters(base) : weights.parameter
  const project = weights === null ? frozenProjection(base, parameter, 'Gemm') : denseProjection(base.config, parameter)
  const logits = sequenceLogits(base, options.batch, { parameter, project, adapt: lora.adapt })
  const targets = input('targets', 'int64', ['selected'])
  const weightsOf = (name: string) => input(name, 'float32', ['selected', 1])
  const taught = logits.softmaxCrossEntropy(targets, weightsOf('loss_weights'), options.labelSmoothing)
  const teacher = logits.gather(input('teachers', 'int32', ['selected'])).softmax()
  const imitation = logits.logSoftmax().mul(teacher).mul(weightsOf('distillation_weights')).sum([0, 1])
  const loss = options.distillation ? taught.sub(imitation) : taught
  const learned = weights === null ? lora.factors() : weights.all
  const gradients = backward(loss, [...learned.values()], [teacher])
  const names = [...learned.keys()]
  const outputs = Object.fromEntries(gradients.map((gradient, i) => [`gradient.${names[i]}`, gradient]))
  return {
    model: serializeModel({ loss, ...outputs }),
    externalDataDirectory: dirname(base.weights.path),
    adapted: lora.adapted,
    learned: [...learned].map(([name, { shape }]) => ({ name, gradient: `gradient.${name}`, shape })),
    flops: matrixFlops([loss, ...gradients]),
    dropoutMasks: dropout.masks,
  }
}

function tokenInputs(): { inputIds: Value; positions: Value; select: Value } {
  return {
    inputIds: input('input_ids', 'int32', ['tokens']),
    positions: input('positions', 'int32', ['tokens']),
    select: input('select', 'int32', ['selected']),
  }
}

/** Logits of the selected tokens of a batch of whole sequences. */
function sequenceLogits({ config }: BaseModel, batch: number, parts: Omit<Gpt2Parts, 'attention'>): Value {
  const attentionMask = input('attention_mask', 'float32', ['time', 'time'])
  const shape = { batch, heads: config.heads, headSize: config.headSize, attentionMask }
  const attention: Gpt2Parts['attention'] = (q, k, v, _layer, scale) => causalAttention(q, k, v, scale, shape)
  return gpt2(config, { ...parts, attention }, tokenInputs())
}

interface LoraBranches {
  readonly adapted: readonly AdaptedLayer[]
  readonly adapt: Gpt2Parts['adapt']
  /** The factors, by the name of their input. */
  readonly factors: () => Map<string, Value>
}

/** The low-rank branches of the target modules in every layer; `prepare` may change what goes into a branch. */
function loraBranches(
  { config }: BaseModel,
  targetModules: readonly TargetModule[],
  prepare: (key: ModuleKey, x: Value) => Value = (_, x) => x,
): LoraBranches {
  const features = moduleFeatures(config)
  const loraMask = loraMaskInput()
  const adapted = Array.from({ length: config.layers }, (_, layer) =>
    targetModules.map((module): AdaptedLayer => {
      const key: ModuleKey = `${layer}.${module}`
      return { key, inputA: loraAName(key), inputB: loraBName(key), ...features[module] }
    }),
  ).flat()
  const inputs = new Map(
    adapted.map(({ key, inFeatures, outFeatures }) => [key, loraInputs(key, inFeatures, outFeatures)]),
  )
  return {
    adapted,
    adapt: (key, x, y) => {
      const factors = inputs.get(key)
      return factors === undefined ? y : dyloraLinear(prepare(key, x), y, { ...factors, loraMask })
    },
    factors: () =>
      new Map(
        [...inputs].flatMap(([key, { loraA, loraB }]) => [
          [loraAName(key), loraA] as const,
          [loraBName(key), loraB] as const,
        ]),
      ),
  }
}

/** Layers that read the same input share one dropout, as the query, key and value of a fused projection do in PEFT. */
const dropoutSites: Readonly<Record<TargetModule, string>> = {
  q_proj: 'attn_in',
  k_proj: 'attn_in',
  v_proj: 'attn_in',
  o_proj: 'attn_out',
  fc_in: 'mlp_in',
  fc_out: 'mlp_out',
}

/** Dropout on the inputs of low-rank branches, with masks that the host draws, so that every run can be repeated. */
class LoraDropout {
  readonly masks: { name: string; width: number }[] = []
  readonly #probability: number
  readonly #dropped = new Map<string, Value>()

  constructor(probability: number) {
    this.#probability = probability
  }

  apply(key: ModuleKey, x: Value): Value {
    if (this.#probability === 0) return x
    const [layer, module] = key.split('.') as [string, TargetModule]
    const name = `dropout_mask.${layer}.${dropoutSites[module]}`
    const dropped = this.#dropped.get(name) ?? this.#drop(name, x)
    this.#dropped.set(name, dropped)
    return dropped
  }

  #drop(name: string, x: Value): Value {
    const width = x.shape[1]
    if (typeof width !== 'number') throw new RangeError('expected a layer of known width')
    this.masks.push({ name, width })
    return x.mul(1 / (1 - this.#probability)).where(input(name, 'bool', ['tokens', width]), 0)
  }
}
