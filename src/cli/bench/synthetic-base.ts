/** A base model of any shape with random weights, made on the spot, so that benchmarks have real sizes without a download. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BaseModel } from '../../dylora/base-model.ts'
import { writeBaseModel } from '../../dylora/base-writer.ts'
import { gpt2Tensors, parseGpt2Config } from '../../dylora/gpt2-config.ts'
import { initialWeight } from '../../dylora/initialization.ts'
import type { Quantization } from '../../dylora/quantization.ts'
import { randomSource } from '../../training/random.ts'

export interface SyntheticShape {
  readonly layers: number
  readonly hiddenSize: number
  readonly heads: number
  readonly vocabSize: number
  readonly positions: number
  /** Null or nothing is float32. */
  readonly quantization?: Quantization | null
}

/** GPT-2's smallest (Radford et al. 2019), 124 M parameters. */
export const gpt2Small: SyntheticShape = { layers: 12, hiddenSize: 768, heads: 12, vocabSize: 50_257, positions: 1024 }

/** Hands the base to `use`, and removes it afterwards. */
export async function withSyntheticBase<T>(shape: SyntheticShape, use: (base: BaseModel) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'dylora-bench-'))
  try {
    return await use(await writeSynthetic(join(directory, 'base'), shape))
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function writeSynthetic(directory: string, shape: SyntheticShape): Promise<BaseModel> {
  const { layers, hiddenSize, heads, vocabSize, positions, quantization } = shape
  const config = parseGpt2Config(
    {
      ...{ model_type: 'gpt2', vocab_size: vocabSize, n_positions: positions },
      ...{ n_embd: hiddenSize, n_layer: layers, n_head: heads },
    },
    (reason) => new RangeError(reason),
  )
  const tensors = [...gpt2Tensors(config)]
  return writeBaseModel(directory, {
    config,
    weight: async (wanted) => {
      const index = tensors.findIndex(([name]) => name === wanted)
      return initialWeight(config, wanted, tensors[index]?.[1] ?? [], randomSource(1, 'initialization', index).next)
    },
    tokenizer: Buffer.from(JSON.stringify(byteTokenizer(vocabSize))),
    quantization: quantization ?? undefined,
    bosTokenId: 0,
    eosTokenIds: [0],
    source: { initialized: 'random', shape },
  })
}

/** One token for each byte, as the byte-level alphabet spells it, and as many made-up ones as the vocabulary is large. */
function byteTokenizer(vocabSize: number): Record<string, unknown> {
  const printable = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173)
  const shifted = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => !printable(byte))
  const letter = (byte: number) => String.fromCodePoint(printable(byte) ? byte : 256 + shifted.indexOf(byte))
  const tokens = ['<|endoftext|>', ...Array.from({ length: 256 }, (_, byte) => letter(byte))]
  for (let i = tokens.length; i < vocabSize; i++) tokens.push(`token${i}`)
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
  const special = {
    id: 0,
    content: '<|endoftext|>',
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }
  return {
    ...{ version: '1.0', truncation: null, padding: null, normalizer: null, post_processor: null },
    added_tokens: [special],
    pre_tokenizer: byteLevel,
    decoder: byteLevel,
    model: { type: 'BPE', vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges: [] },
  }
}
