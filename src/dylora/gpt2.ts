/** GPT-2 (Radford et al. 2019), written once; what attention and an adapted layer are is handed in. */
import { scope, type Value } from '../onnx/graph.ts'
import type { ModuleKey, TargetModule } from './adapter.ts'
import type { Activation, Gpt2Config } from './gpt2-config.ts'
import type { Parameter, Projection } from './weights.ts'

/** What differs between serving, scoring and training. */
export interface Gpt2Parts {
  /** A weight by its Hugging Face name. */
  readonly parameter: Parameter
  /** What multiplies by the matrix of a layer, or of the head. */
  readonly project: Projection
  /** The output y = Wx + b of an adapted layer, plus what an adapter adds to it. */
  readonly adapt: (key: ModuleKey, x: Value, y: Value) => Value
  /** Causal attention over query, key and value [tokens, hiddenSize]; scores are multiplied by `scale`. */
  readonly attention: (query: Value, key: Value, value: Value, layer: number, scale: number) => Value
}

export interface Gpt2Inputs {
  /** Integers [tokens], in any order that the attention understands. */
  readonly inputIds: Value
  /** Integers [tokens]. */
  readonly positions: Value
  /** The rows [selected] whose logits are wanted; null for all. */
  readonly select: Value | null
}

const activations: Readonly<Record<Activation, (x: Value) => Value>> = {
  gelu_tanh: (x) => x.gelu('tanh'),
  gelu: (x) => x.gelu('none'),
  relu: (x) => x.relu(),
}

/** Logits [selected, vocabSize]. */
export function gpt2(config: Gpt2Config, parts: Gpt2Parts, { inputIds, positions, select }: Gpt2Inputs): Value {
  const { parameter } = parts
  let x = parameter('wte.weight').gather(inputIds).add(parameter('wpe.weight').gather(positions)) // [tokens, hidden]
  for (let layer = 0; layer < config.layers; layer++) x = scope(`h.${layer}`, () => block(config, parts, x, layer))
  return scope('lm_head', () => {
    const hidden = layerNorm(config, parts, select === null ? x : x.gather(select), 'ln_f')
    return parts.project(hidden, 'lm_head.weight')
  })
}

/** x + attention(norm(x)), then x + mlp(norm(x)). */
function block(config: Gpt2Config, parts: Gpt2Parts, x: Value, layer: number): Value {
  const attended = x.add(scope('attn', () => selfAttention(config, parts, x, layer)))
  return attended.add(scope('mlp', () => feedForward(config, parts, attended, layer)))
}

function selfAttention(config: Gpt2Config, parts: Gpt2Parts, x: Value, layer: number): Value {
  const normal = layerNorm(config, parts, x, `h.${layer}.ln_1`)
  const [q, k, v] = linear(parts, normal, `h.${layer}.attn.c_attn`).split(1, 3)
  if (!(q && k && v)) throw new TypeError('expected c_attn to split into query, key and value')
  const adapt = (module: TargetModule, y: Value) => parts.adapt(`${layer}.${module}`, normal, y)
  const scale = attentionScale(config, layer)
  const mixed = parts.attention(adapt('q_proj', q), adapt('k_proj', k), adapt('v_proj', v), layer, scale)
  return parts.adapt(`${layer}.o_proj`, mixed, linear(parts, mixed, `h.${layer}.attn.c_proj`))
}

function attentionScale({ headSize, scaleAttention, scaleByLayer }: Gpt2Config, layer: number): number {
  return (scaleAttention ? 1 / Math.sqrt(headSize) : 1) / (scaleByLayer ? layer + 1 : 1)
}

function feedForward(config: Gpt2Config, parts: Gpt2Parts, x: Value, layer: number): Value {
  const normal = layerNorm(config, parts, x, `h.${layer}.ln_2`)
  const wide = parts.adapt(`${layer}.fc_in`, normal, linear(parts, normal, `h.${layer}.mlp.c_fc`))
  const active = activations[config.activation](wide)
  return parts.adapt(`${layer}.fc_out`, active, linear(parts, active, `h.${layer}.mlp.c_proj`))
}

function linear({ parameter, project }: Gpt2Parts, x: Value, name: string): Value {
  return project(x, `${name}.weight`, parameter(`${name}.bias`))
}

function layerNorm({ layerNormEpsilon }: Gpt2Config, { parameter }: Gpt2Parts, x: Value, name: string): Value {
  return x.layerNormalization(parameter(`${name}.weight`), parameter(`${name}.bias`), layerNormEpsilon)
}
