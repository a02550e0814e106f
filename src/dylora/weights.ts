/** The weights of a base in a graph: as initializers that point into its file, or as inputs that are learnt. */
import { basename } from 'node:path'
import { concat, initializer, input, type Value } from '../onnx/graph.ts'
import type { BaseModel } from './base-model.ts'
import { type Gpt2Config, gpt2Tensors } from './gpt2-config.ts'
import { packedName, type Quantization, type QuantizedMatrix, quantizedMatrices, scalesName } from './quantization.ts'

/** A weight by its Hugging Face name. */
export type Parameter = (name: string) => Value

/** x times the matrix of this name (`lm_head.weight` also where it is tied), plus the bias. */
export type Projection = (x: Value, name: string, bias?: Value) => Value

/** Float32 weights as initializers; each name is one value. */
export function frozenParameters({ weights }: BaseModel): Parameter {
  const values = new Map<string, Value>()
  return (name) => {
    const value = values.get(name) ?? storedValue(weights, name)
    values.set(name, value)
    return value
  }
}

function storedValue({ path, tensors }: BaseModel['weights'], name: string): Value {
  const tensor = tensors.get(name)
  if (tensor === undefined) throw new RangeError(`expected ${path} to have ${name}`)
  const { shape, offset, length, dtype } = tensor
  const type = { dtype: dtype === 'U8' ? 'uint8' : 'float32', shape } as const
  return initializer(name, type, { location: basename(path), offset, length })
}

/** Weights as inputs, to be learnt. */
export function learnedParameters({ config }: BaseModel): { parameter: Parameter; all: Map<string, Value> } {
  const all = new Map([...gpt2Tensors(config)].map(([name, shape]) => [name, input(name, 'float32', shape)]))
  const parameter = (name: string): Value => {
    const value = all.get(name)
    if (value === undefined) throw new RangeError(`expected a weight of GPT-2, got ${name}`)
    return value
  }
  return { parameter, all }
}

/** GPT-2 stores the weights of layers as [in, out] and that of the head as [out, in]. */
export function denseProjection({ tiedHead }: Gpt2Config, parameter: Parameter): Projection {
  return (x, name, bias) =>
    name === 'lm_head.weight'
      ? x.gemm(parameter(tiedHead ? 'wte.weight' : name), { transB: true, bias })
      : x.gemm(parameter(name), { bias })
}

/** How a quantised matrix is multiplied by: by the kernel for few bits, or as float32, which gradients can pass. */
export type Kernel = 'MatMulNBits' | 'Gemm'

export function frozenProjection(base: BaseModel, parameter: Parameter, kernel: Kernel): Projection {
  const { config, quantization } = base
  if (quantization === null) return denseProjection(config, parameter)
  const matrices = quantizedMatrices(config)
  return (x, name, bias) => {
    const matrix = matrices.get(name)
    if (matrix === undefined) throw new RangeError(`expected a quantised matrix, got ${name}`)
    const [packed, scales] = [parameter(packedName(name)), parameter(scalesName(name))]
    if (kernel === 'Gemm') {
      return x.gemm(dequantized(packed, scales, matrix, quantization), { transB: true, bias })
    }
    const { inFeatures, outFeatures } = matrix
    const y = x.matmulNBits(packed, scales, { inFeatures, outFeatures, ...quantization, accuracyLevel: 4 })
    return bias === undefined ? y : y.add(bias)
  }
}

/** (code - 2^(bits-1)) · scale as float32 [out, in]; constant, so that the runtime computes it once. */
function dequantized(packed: Value, scales: Value, matrix: QuantizedMatrix, { bits, blockSize }: Quantization): Value {
  const { inFeatures, outFeatures } = matrix
  const blocks = inFeatures / blockSize
  const codes = bits === 8 ? packed.cast('int32') : nibbles(packed.cast('int32'), [outFeatures, blocks, blockSize])
  const centred = codes.sub(2 ** (bits - 1)).cast('float32')
  return centred.mul(scales.reshape([outFeatures, blocks, 1])).reshape([outFeatures, inFeatures])
}

/** Two to a byte, the first in the low half. */
function nibbles(bytes: Value, shape: readonly number[]): Value {
  const high = bytes.div(16)
  const pairs = [bytes.sub(high.mul(16)), high].map((half) => half.unsqueeze(-1))
  return concat(pairs, -1).reshape(shape)
}
