/** The base model before its first step: GPT-2's architecture and initialisation, seeded. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BaseModel } from '../../src/dylora/base-model.ts'
import { writeBaseModel } from '../../src/dylora/base-writer.ts'
import { gpt2Tensors, parseGpt2Config } from '../../src/dylora/gpt2-config.ts'
import { randomSource } from '../../src/training/random.ts'

export interface Shape {
  readonly vocabSize: number
  readonly positions: number
  readonly layers: number
  readonly hiddenSize: number
  readonly heads: number
}

/** Writes a base model directory with random weights; the tokenizer's token 0 begins and ends texts. */
export async function writeInitialBase(
  directory: string,
  work: string,
  shape: Shape,
  seed: number,
): Promise<BaseModel> {
  const { vocabSize, positions, layers, hiddenSize, heads } = shape
  const config = parseGpt2Config(
    {
      model_type: 'gpt2',
      vocab_size: vocabSize,
      n_positions: positions,
      n_embd: hiddenSize,
      n_layer: layers,
      n_head: heads,
      n_inner: 4 * hiddenSize,
    },
    (reason) => new RangeError(reason),
  )
  const names = [...gpt2Tensors(config).keys()]
  return writeBaseModel(directory, {
    config,
    weight: async (name) =>
      initialWeight(
        name,
        gpt2Tensors(config).get(name) ?? [],
        layers,
        randomSource(seed, 'initialization', names.indexOf(name)),
      ),
    tokenizer: await readFile(join(work, 'tokenizer.json')),
    bosTokenId: 0,
    eosTokenIds: [0],
    source: { initialized: 'random', seed },
  })
}

/** Normal with deviation 0.02; smaller where a block adds to the residual stream, and for positions. Gains 1, biases 0. */
function initialWeight(
  name: string,
  shape: readonly number[],
  layers: number,
  random: ReturnType<typeof randomSource>,
): Float32Array {
  const length = shape.reduce((product, size) => product * size, 1)
  if (shape.length === 1) return new Float32Array(length).fill(/ln_\w+\.weight$/.test(name) ? 1 : 0)
  const deviation = name.endsWith('c_proj.weight') ? 0.02 / Math.sqrt(2 * layers) : name === 'wpe.weight' ? 0.01 : 0.02
  return Float32Array.from({ length }, () => deviation * normal(random))
}

/** Box and Muller. */
const normal = ({ next }: ReturnType<typeof randomSource>): number =>
  Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next())
