/**
 * Weights in 4 or 8 bits, in the form of ONNX Runtime's MatMulNBits: blocks along the inputs of a layer share a float32
 * scale, symmetric about zero. What is quantised are the matrices of the linear layers and of the head; embeddings,
 * norms and biases stay float32. Adapters run in float32 over either (QDyLoRA, Rajabzadeh et al. 2024, over our formats).
 */
import { errors } from '../errors.ts'
import { type Gpt2Config, gpt2Tensors } from './gpt2-config.ts'

export const quantizationFormats = { int8: 8, int4: 4 } as const
export type QuantizationFormat = keyof typeof quantizationFormats
export const blockSizes = [32, 64, 128] as const
type BlockSize = (typeof blockSizes)[number]

export interface Quantization {
  readonly bits: 4 | 8
  /** Inputs that share a scale. */
  readonly blockSize: BlockSize
}

/** A matrix that is stored in few bits, under its own name and a suffix. */
export interface QuantizedMatrix {
  /** The weight it stands for: `lm_head.weight` also where the head is tied to the embedding. */
  readonly name: string
  /** Where its float32 values come from. */
  readonly source: string
  readonly inFeatures: number
  readonly outFeatures: number
  /** Is the source [in, out]? It is stored as [out, in]. */
  readonly transposed: boolean
}

export const packedName = (name: string): string => `${name}.packed`
export const scalesName = (name: string): string => `${name}.scales`

export const formatName = ({ bits, blockSize }: Quantization): string => `int${bits}, blocks of ${blockSize}`

/** Every matrix that is quantised, by the weight it stands for. */
export function quantizedMatrices(config: Gpt2Config): Map<string, QuantizedMatrix> {
  const matrices = new Map<string, QuantizedMatrix>()
  for (const [name, [rows = 0, columns = 0]] of gpt2Tensors(config)) {
    if (!/^h\.\d+\.(attn|mlp)\.\w+\.weight$/.test(name)) continue
    matrices.set(name, { name, source: name, inFeatures: rows, outFeatures: columns, transposed: true })
  }
  const head = { inFeatures: config.hiddenSize, outFeatures: config.vocabSize, transposed: false }
  const name = 'lm_head.weight'
  return matrices.set(name, { name, source: config.tiedHead ? 'wte.weight' : name, ...head })
}

export interface StoredTensor {
  readonly dtype: 'F32' | 'U8'
  readonly shape: readonly number[]
}

function packedShapes({ inFeatures, outFeatures }: QuantizedMatrix, { bits, blockSize }: Quantization) {
  const blocks = inFeatures / blockSize
  return { packed: [outFeatures, blocks, (blockSize * bits) / 8], scales: [outFeatures, blocks] }
}

/** Every tensor of a base's weight file, in canonical order; `quantization` null is all in float32. */
export function storedTensors(config: Gpt2Config, quantization: Quantization | null): Map<string, StoredTensor> {
  const matrices = quantization === null ? new Map<string, QuantizedMatrix>() : quantizedMatrices(config)
  const stored = new Map<string, StoredTensor>()
  for (const [name, shape] of gpt2Tensors(config)) if (!matrices.has(name)) stored.set(name, { dtype: 'F32', shape })
  for (const matrix of matrices.values()) {
    const { packed, scales } = packedShapes(matrix, quantization as Quantization)
    stored.set(packedName(matrix.name), { dtype: 'U8', shape: packed })
    stored.set(scalesName(matrix.name), { dtype: 'F32', shape: scales })
  }
  return stored
}

/** Throws validation unless blocks of this size fill every layer. */
export function checkBlockSize(config: Gpt2Config, { blockSize }: Quantization): void {
  const odd = [...quantizedMatrices(config).values()].find(({ inFeatures }) => inFeatures % blockSize !== 0)
  if (odd === undefined) return
  const fitting = blockSizes.filter((size) =>
    [config.hiddenSize, config.innerSize].every((width) => width % size === 0),
  )
  throw errors.validation(
    `Blocks of ${blockSize} do not fill ${odd.name}, which has ${odd.inFeatures} inputs: expected ${fitting.join(' or ') || 'widths that are multiples of 32'}`,
  )
}

export interface PackedMatrix {
  readonly packed: Uint8Array
  readonly scales: Float32Array
}

/** float32 values of a matrix in few bits. */
export function quantize(
  values: Float32Array,
  matrix: QuantizedMatrix,
  { bits, blockSize }: Quantization,
): PackedMatrix {
  const { inFeatures, outFeatures, transposed } = matrix
  const blocks = inFeatures / blockSize
  const bytes = (blockSize * bits) / 8
  const packed = new Uint8Array(outFeatures * blocks * bytes)
  const scales = new Float32Array(outFeatures * blocks)
  const block = new Float32Array(blockSize)
  for (let out = 0; out < outFeatures; out++) {
    for (let b = 0; b < blocks; b++) {
      for (let i = 0; i < blockSize; i++) {
        const input = b * blockSize + i
        block[i] = values[transposed ? input * outFeatures + out : out * inFeatures + input] ?? 0
      }
      const at = out * blocks + b
      scales[at] = quantizeBlock(block, bits, packed.subarray(at * bytes, (at + 1) * bytes))
    }
  }
  return { packed, scales }
}

/** How far below the full range a scale is looked for: clipping the largest value may cost less than coarser steps. */
const shrinkages = { 8: [1], 4: [1, 0.95, 0.9, 0.85, 0.8] } as const

/** Writes the block's bytes, returns its scale: of those tried, the one with the least squared error. */
function quantizeBlock(block: Float32Array, bits: 4 | 8, bytes: Uint8Array): number {
  const lowest = -(2 ** (bits - 1))
  const extreme = block.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0)
  if (extreme === 0) {
    bytes.fill(bits === 8 ? 128 : 0x88)
    return 0
  }
  // There is one more code below zero than above: either the farthest value takes it, or none does.
  const candidates = [
    ...shrinkages[bits].map((shrinkage) => Math.fround((shrinkage * extreme) / lowest)),
    Math.fround(extreme / (-lowest - 1)),
  ]
  const scale = least(candidates, (one) => squaredError(block, one, bits))
  for (const [i, value] of block.entries()) {
    const code = codeOf(value, scale, bits) - lowest
    if (bits === 8) bytes[i] = code
    else bytes[i >> 1] = (bytes[i >> 1] ?? 0) | (code << (4 * (i & 1)))
  }
  return scale
}

function codeOf(value: number, scale: number, bits: 4 | 8): number {
  const half = 2 ** (bits - 1)
  return Math.max(-half, Math.min(half - 1, Math.round(value / scale)))
}

function squaredError(block: Float32Array, scale: number, bits: 4 | 8): number {
  return block.reduce((sum, value) => sum + (value - scale * codeOf(value, scale, bits)) ** 2, 0)
}

function least(candidates: readonly number[], cost: (candidate: number) => number): number {
  const costs = candidates.map(cost)
  return candidates[costs.indexOf(Math.min(...costs))] ?? 0
}

/** The float32 values that are computed with, laid out as the source is. */
export function dequantize(
  { packed, scales }: PackedMatrix,
  matrix: QuantizedMatrix,
  { bits, blockSize }: Quantization,
): Float32Array {
  const { inFeatures, outFeatures, transposed } = matrix
  const half = 2 ** (bits - 1)
  const values = new Float32Array(inFeatures * outFeatures)
  for (let at = 0; at < values.length; at++) {
    const byte = packed[bits === 8 ? at : at >> 1] ?? 0
    const code = bits === 8 ? byte : (byte >> (4 * (at & 1))) & 15
    const [out, input] = [Math.floor(at / inFeatures), at % inFeatures]
    const value = (code - half) * (scales[Math.floor(at / blockSize)] ?? 0)
    values[transposed ? input * outFeatures + out : at] = value
  }
  return values
}
