/** Imports a Hugging Face GPT-2 checkpoint directory as a base model. No Python. */
import { readFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { z } from 'zod'
import { errors } from '../errors.ts'
import type { BaseModel } from './base-model.ts'
import { writeBaseModel } from './base-writer.ts'
import { chatFiles } from './chat-template.ts'
import { readCheckpoint } from './checkpoint.ts'
import { parseGpt2Config } from './gpt2-config.ts'
import { readJsonFile, rethrowing } from './json-file.ts'
import { exists } from './publish.ts'
import { checkBlockSize, type Quantization } from './quantization.ts'
import { parseTokenizer, type Tokenizer } from './tokenizer.ts'
import { buildTokenizerJson } from './tokenizer-json.ts'

type Fail = (reason: string) => Error

export interface ImportResult {
  readonly base: BaseModel
  /** What was filled in or left out, one sentence each. */
  readonly notes: readonly string[]
}

const Json = z.record(z.string(), z.unknown())
type Json = z.infer<typeof Json>

/**
 * Reads `config.json`, weights (float32, float16 or bfloat16; safetensors in one file or shards, or an ONNX export) and
 * `tokenizer.json` of `source` and publishes a base model under `out`. Throws `checkpoint_invalid`, which names the field or the tensor that does not
 * fit, or `base_model_invalid` when `out` is something else than a base model. The digest is that of the float32 weights,
 * quantised or not, so that adapters fit either.
 */
export async function importCheckpoint(
  source: string,
  out: string,
  quantization?: Quantization,
): Promise<ImportResult> {
  const fail = (reason: string) => errors.checkpointInvalid(source, reason)
  const json = await readJsonFile(join(source, 'config.json'), Json, fail)
  const { config, dtypes, weight } = await readCheckpoint(source, parseGpt2Config(json, fail), fail)
  if (quantization !== undefined) checkBlockSize(config, quantization)
  const tokenizerText = await readTokenizerText(source, fail)
  const tokenizer = parseTokenizer(tokenizerText, (reason) => fail(`tokenizer.json: ${reason}`))
  if (tokenizer.vocabSize > config.vocabSize) {
    throw fail(`its tokenizer has ${tokenizer.vocabSize} tokens, and config.json says vocab_size ${config.vocabSize}`)
  }
  const generation = (await readOptional(source, 'generation_config.json', fail)) ?? {}
  const named = (await readOptional(source, 'tokenizer_config.json', fail)) ?? {}
  const { tokens, notes } = boundaryTokens([generation, json], named, tokenizer, config.vocabSize)
  const base = await writeBaseModel(out, {
    ...{ config, weight, generation, quantization, ...tokens },
    tokenizer: Buffer.from(tokenizerText),
    further: await readChatFiles(source, fail),
    source: { checkpoint: basename(resolve(source)), dtypes },
  })
  return { base, notes }
}

async function readOptional(directory: string, name: string, fail: Fail): Promise<Json | null> {
  const path = join(directory, name)
  return (await exists(path)) ? readJsonFile(path, Json, fail) : null
}

/** The files of a chat template that are there. */
async function readChatFiles(source: string, fail: Fail): Promise<Record<string, Uint8Array>> {
  const files: Record<string, Uint8Array> = {}
  for (const name of Object.values(chatFiles)) {
    const path = join(source, name)
    if (await exists(path)) files[name] = await rethrowing(fail, () => readFile(path))
  }
  return files
}

/** `tokenizer.json`, or one made of the two files that GPT-2's first tokenizer had. */
async function readTokenizerText(directory: string, fail: Fail): Promise<string> {
  const read = (name: string) => rethrowing(fail, () => readFile(join(directory, name), 'utf8'))
  if (await exists(join(directory, 'tokenizer.json'))) return read('tokenizer.json')
  if (!(await exists(join(directory, 'vocab.json'))) || !(await exists(join(directory, 'merges.txt')))) {
    throw fail('there is neither tokenizer.json nor vocab.json with merges.txt')
  }
  const vocab = await readJsonFile(join(directory, 'vocab.json'), z.record(z.string(), z.int().min(0)), fail)
  return buildTokenizerJson(vocab, await read('merges.txt'))
}

interface BoundaryTokens {
  readonly bosTokenId: number | null
  readonly eosTokenIds: readonly number[]
}

/** The first file that names a token of the vocabulary decides; GPT-2's own end of text is the last resort. */
function boundaryTokens(
  files: readonly Json[],
  named: Json,
  tokenizer: Tokenizer,
  vocabSize: number,
): { tokens: BoundaryTokens; notes: string[] } {
  const notes: string[] = []
  const idsOf = (which: 'bos' | 'eos'): readonly number[] => {
    for (const file of files) {
      const ids = tokenIds(file[`${which}_token_id`])
      const inside = ids.filter((id) => id < vocabSize)
      if (inside.length < ids.length) notes.push(`${which}_token_id ${ids.join(', ')} is not all in the vocabulary.`)
      if (inside.length > 0) return inside
    }
    const id = tokenizer.tokenId(tokenText(named[`${which}_token`]) ?? '') ?? tokenizer.tokenId('<|endoftext|>')
    const outcome = id === undefined ? 'is not known' : `is taken to be ${id} '${tokenizer.tokenText(id)}'`
    notes.push(`${which}_token_id ${outcome}.`)
    return id === undefined ? [] : [id]
  }
  return { tokens: { bosTokenId: idsOf('bos')[0] ?? null, eosTokenIds: idsOf('eos') }, notes: [...new Set(notes)] }
}

function tokenIds(value: unknown): number[] {
  const list = Array.isArray(value) ? value : [value]
  return list.filter((id): id is number => Number.isInteger(id) && id >= 0)
}

/** A token in `tokenizer_config.json`: its text, or an object with it. */
function tokenText(value: unknown): string | undefined {
  const parsed = z.union([z.string(), z.object({ content: z.string() })]).safeParse(value)
  if (!parsed.success) return undefined
  return typeof parsed.data === 'string' ? parsed.data : parsed.data.content
}
