/** GPT-2's configuration as Hugging Face writes it, read into what the graphs need; what they lack is refused by name. */
import { z } from 'zod'
import type { TargetModule } from './adapter.ts'
import { issueText } from './json-file.ts'

export type Activation = 'gelu_tanh' | 'gelu' | 'relu'

export interface Gpt2Config {
  readonly architecture: 'gpt2'
  readonly vocabSize: number
  /** The longest sequence. */
  readonly positions: number
  readonly hiddenSize: number
  readonly layers: number
  readonly heads: number
  readonly headSize: number
  /** Width of the feed-forward layer. */
  readonly innerSize: number
  readonly layerNormEpsilon: number
  /** Is the output projection the token embedding? */
  readonly tiedHead: boolean
  readonly activation: Activation
  /** Are attention scores divided by the square root of the head size? */
  readonly scaleAttention: boolean
  /** Are attention scores of layer i (from 0) divided by i + 1 as well? */
  readonly scaleByLayer: boolean
}

/** Names that checkpoints use, to the function meant. */
const activations: Readonly<Record<string, Activation>> = {
  gelu_new: 'gelu_tanh',
  gelu_pytorch_tanh: 'gelu_tanh',
  gelu_fast: 'gelu_tanh',
  gelu: 'gelu',
  gelu_python: 'gelu',
  relu: 'relu',
}

const count = z
  .int()
  .min(1)
  .max(2 ** 31 - 1)

/** The fields that are read; absent ones take the values that transformers gives them. */
const Fields = z.object({
  model_type: z.literal('gpt2'),
  vocab_size: count.default(50257),
  n_positions: count.default(1024),
  n_embd: count.default(768),
  n_layer: count.default(12),
  n_head: count.default(12),
  n_inner: count.nullish(),
  layer_norm_epsilon: z.number().positive().default(1e-5),
  activation_function: z
    .string()
    .refine((name) => Object.hasOwn(activations, name), {
      error: ({ input }) => `'${input}' is not implemented; known are ${Object.keys(activations).join(', ')}`,
    })
    .default('gelu_new'),
  scale_attn_weights: z.boolean().default(true),
  scale_attn_by_inverse_layer_idx: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(true),
})

/** Fields that change the computation and are not implemented, each with the values under which it changes nothing. */
const unimplemented: Readonly<Record<string, (value: unknown) => boolean>> = {
  add_cross_attention: isOff,
  is_encoder_decoder: isOff,
  quantization_config: isOff,
  pruned_heads: isOff,
  auto_map: isOff,
  rope_scaling: isOff,
  sliding_window: isOff,
}

function isOff(value: unknown): boolean {
  return !value || (typeof value === 'object' && Object.keys(value).length === 0)
}

/**
 * Reads `config.json`. Fields that do not touch inference (dropout, cache switches, summaries) are ignored;
 * `fail` makes the error out of the reason, which names the field.
 */
export function parseGpt2Config(json: unknown, fail: (reason: string) => Error): Gpt2Config {
  const parsed = Fields.safeParse(json)
  if (!parsed.success) throw fail(`config.json: ${issueText(parsed.error)}`)
  const refused = Object.entries(unimplemented).find(([name, isHarmless]) => !isHarmless(field(json, name)))
  if (refused) throw fail(`config.json: ${refused[0]} is not implemented`)
  const fields = parsed.data
  const { n_embd: hiddenSize, n_head: heads } = fields
  if (hiddenSize % heads !== 0) throw fail(`config.json: n_embd ${hiddenSize} is not a multiple of n_head ${heads}`)
  return {
    architecture: 'gpt2',
    vocabSize: fields.vocab_size,
    positions: fields.n_positions,
    hiddenSize,
    layers: fields.n_layer,
    heads,
    headSize: hiddenSize / heads,
    innerSize: fields.n_inner ?? 4 * hiddenSize,
    layerNormEpsilon: fields.layer_norm_epsilon,
    tiedHead: fields.tie_word_embeddings,
    activation: activations[fields.activation_function] ?? 'gelu_tanh',
    scaleAttention: fields.scale_attn_weights,
    scaleByLayer: fields.scale_attn_by_inverse_layer_idx,
  }
}

function field(json: unknown, name: string): unknown {
  return typeof json === 'object' && json !== null ? (json as Record<string, unknown>)[name] : undefined
}

/** The other way round: `config.json` as transformers reads it. */
export function gpt2ConfigJson(config: Gpt2Config): Record<string, unknown> {
  return {
    model_type: 'gpt2',
    architectures: ['GPT2LMHeadModel'],
    vocab_size: config.vocabSize,
    n_positions: config.positions,
    n_embd: config.hiddenSize,
    n_layer: config.layers,
    n_head: config.heads,
    n_inner: config.innerSize,
    layer_norm_epsilon: config.layerNormEpsilon,
    activation_function: { gelu_tanh: 'gelu_new', gelu: 'gelu', relu: 'relu' }[config.activation],
    scale_attn_weights: config.scaleAttention,
    scale_attn_by_inverse_layer_idx: config.scaleByLayer,
    tie_word_embeddings: config.tiedHead,
    dtype: 'float32',
  }
}

/** Every tensor of the model with its shape, in canonical order, by Hugging Face's names without `transformer.`. */
export function gpt2Tensors(config: Gpt2Config): Map<string, readonly number[]> {
  const { vocabSize, positions, hiddenSize, layers, tiedHead } = config
  const shapes = new Map<string, readonly number[]>([
    ['wte.weight', [vocabSize, hiddenSize]],
    ['wpe.weight', [positions, hiddenSize]],
  ])
  for (let layer = 0; layer < layers; layer++) {
    for (const [name, shape] of layerTensors(config)) shapes.set(`h.${layer}.${name}`, shape)
  }
  for (const [name, shape] of layerNorm('ln_f', hiddenSize)) shapes.set(name, shape)
  if (!tiedHead) shapes.set('lm_head.weight', [vocabSize, hiddenSize])
  return shapes
}

type NamedShape = readonly [name: string, shape: readonly number[]]

function layerTensors({ hiddenSize, innerSize }: Gpt2Config): NamedShape[] {
  return [
    ...layerNorm('ln_1', hiddenSize),
    ...linear('attn.c_attn', hiddenSize, 3 * hiddenSize),
    ...linear('attn.c_proj', hiddenSize, hiddenSize),
    ...layerNorm('ln_2', hiddenSize),
    ...linear('mlp.c_fc', hiddenSize, innerSize),
    ...linear('mlp.c_proj', innerSize, hiddenSize),
  ]
}

function layerNorm(name: string, size: number): NamedShape[] {
  return [
    [`${name}.weight`, [size]],
    [`${name}.bias`, [size]],
  ]
}

/** GPT-2 stores weights as [in, out]. */
function linear(name: string, inFeatures: number, outFeatures: number): NamedShape[] {
  return [
    [`${name}.weight`, [inFeatures, outFeatures]],
    [`${name}.bias`, [outFeatures]],
  ]
}

/** Input and output width of each linear layer that can be adapted. */
export function moduleFeatures({ hiddenSize, innerSize }: Pick<Gpt2Config, 'hiddenSize' | 'innerSize'>): {
  readonly [M in TargetModule]: { readonly inFeatures: number; readonly outFeatures: number }
} {
  const square = { inFeatures: hiddenSize, outFeatures: hiddenSize }
  return {
    q_proj: square,
    k_proj: square,
    v_proj: square,
    o_proj: square,
    fc_in: { inFeatures: hiddenSize, outFeatures: innerSize },
    fc_out: { inFeatures: innerSize, outFeatures: hiddenSize },
  }
}
