/** The base model before its first step: GPT-2's architecture and initialisation, seeded. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BaseModel } from '../../src/dylora/base-model.ts'
import { writeBaseModel } from '../../src/dylora/base-writer.ts'
import { gpt2Tensors, parseGpt2Config } from '../../src/dylora/gpt2-config.ts'
import { initialWeight } from '../../src/dylora/initialization.ts'
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
    weight: async (name) => {
      const { next } = randomSource(seed, 'initialization', names.indexOf(name))
      return initialWeight(config, name, gpt2Tensors(config).get(name) ?? [], next)
    },
    tokenizer: await readFile(join(work, 'tokenizer.json')),
    bosTokenId: 0,
    eosTokenIds: [0],
    source: { initialized: 'random', seed },
  })
}
