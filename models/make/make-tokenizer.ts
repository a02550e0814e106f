/** Trains the base model's tokenizer: GPT-2's byte-level BPE scheme, a vocabulary of our own size. */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { BPE, byteLevelAlphabet, byteLevelPreTokenizer, Tokenizer } from 'tokenizers'
import { endOfText } from './corpus.ts'

type Merge = readonly [string, string]
interface TrainedModel {
  readonly model: { readonly merges: readonly Merge[] }
}

/** A tokenizer file's content: the token that ends a text is 0, then come the 256 bytes, then one token for each merge. */
function buildTokenizer(merges: readonly Merge[], vocabSize: number) {
  const vocab = new Map<string, number>([endOfText, ...byteLevelAlphabet().sort()].map((token, id) => [token, id]))
  const kept: Merge[] = []
  for (const [left, right] of merges) {
    if (vocab.size >= vocabSize) break
    kept.push([left, right])
    if (!vocab.has(left + right)) vocab.set(left + right, vocab.size)
  }
  if (vocab.size !== vocabSize) throw new RangeError(`Expected text for ${vocabSize} tokens, got ${vocab.size}`)
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [
      { id: 0, content: endOfText, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
    ],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: { ...byteLevel, trim_offsets: false },
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(vocab),
      merges: kept,
    },
  }
}

/** Trains on plain text files, which must not contain the end-of-text token, and writes `tokenizer.json`. */
export async function makeTokenizer(files: readonly string[], vocabSize: number, out: string): Promise<void> {
  const trainer = new Tokenizer(BPE.empty())
  trainer.setPreTokenizer(byteLevelPreTokenizer(false))
  trainer.train([...files])
  const raw = `${out}.raw`
  trainer.save(raw)
  const { model } = JSON.parse(await readFile(raw, 'utf8')) as TrainedModel
  await rm(raw)
  await writeFile(out, `${JSON.stringify(buildTokenizer(model.merges, vocabSize))}\n`)
}
