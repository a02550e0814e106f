/** The tokenizer of a base model: `tokenizer.json`, byte-level BPE, with the raw bytes of each token for streaming. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Tokenizer as TokenizerEngine } from '@huggingface/tokenizers'
import { z } from 'zod'
import { errors } from '../errors.ts'
import { baseFiles } from './base-model.ts'
import { issueText, rethrowing } from './json-file.ts'
import { noTokenBound, type TokenBound, tokenBoundOf } from './token-bound.ts'

export interface Tokenizer {
  /** One more than the highest token id. */
  readonly vocabSize: number
  /** Adds no special tokens; those written out in the text are recognised. */
  encode(text: string): number[]
  /** Tokens that the text has at least, in a time that does not grow with it. */
  readonly atLeast: TokenBound
  /** Special tokens are kept as text. */
  decode(ids: readonly number[]): string
  /** The token as decoded alone; bytes that are no whole character show as U+FFFD. */
  tokenText(id: number): string
  /** The bytes that a token stands for; those of successive tokens concatenate to the text in UTF-8. None for an unknown id. */
  tokenBytes(id: number): Uint8Array
  isSpecial(id: number): boolean
  /** By id, as byte-level BPE writes them; those that stand for no bytes of a text, such as special ones, are empty. */
  readonly byteLevelTokens: readonly string[]
  /** The id of a token by its exact text in the vocabulary, for instance `<|endoftext|>`. */
  tokenId(token: string): number | undefined
}

/** Reads `tokenizer.json` of a base directory. Throws `base_model_invalid`. */
export async function readTokenizer(directory: string): Promise<Tokenizer> {
  const fail = (reason: string) => errors.baseModelInvalid(directory, reason)
  const text = await rethrowing(fail, () => readFile(join(directory, baseFiles.tokenizer), 'utf8'))
  return parseTokenizer(text, (reason) => fail(`${baseFiles.tokenizer}: ${reason}`))
}

/** `text` is the content of a `tokenizer.json`; `fail` makes the error out of the reason. */
export function parseTokenizer(text: string, fail: (reason: string) => Error): Tokenizer {
  const json = parseTokenizerJson(text, fail)
  const engine = makeEngine(json, fail)
  const vocab = engine.get_vocab(true)
  const added = engine.get_added_tokens_decoder()
  const tokens = tokenTexts(vocab)
  const encodeUtf8 = new TextEncoder()
  const decodeUtf8 = new TextDecoder('utf-8', { ignoreBOM: true })
  const bytes = tokens.map((token, id) => (added.has(id) ? encodeUtf8.encode(token) : byteLevelBytes(token)))
  const broken = bytes.indexOf(null)
  if (broken >= 0) throw fail(`token ${broken} '${tokens[broken]}' is not byte-level BPE, which is what is implemented`)
  const bytesOf = (id: number) => bytes[checkId(id)] ?? new Uint8Array(0)
  return {
    vocabSize: tokens.length,
    encode: (input) => (input === '' ? [] : engine.encode(input, { add_special_tokens: false }).ids),
    atLeast: keepsBytes(json, bytes) ? tokenBoundOf(bytes) : noTokenBound,
    decode: (ids) => decodeUtf8.decode(concatBytes(ids.map(bytesOf))),
    tokenText: (id) => decodeUtf8.decode(bytesOf(id)),
    tokenBytes: bytesOf,
    byteLevelTokens: tokens.map((token, id) => (added.has(id) ? '' : token)),
    isSpecial: (id) => added.get(id)?.special ?? false,
    tokenId: (token) => vocab.get(token),
  }
}

/** Do the tokens of any text concatenate to that text, byte for byte? Only then do they bound how few there are. */
function keepsBytes(json: object, bytes: readonly (Uint8Array | null)[]): bytes is Uint8Array[] {
  const { normalizer = null, added_tokens: added = [] } = json as TokenizerFile
  const single = new Set(bytes.flatMap((token) => (token?.length === 1 ? [...token] : [])))
  return normalizer === null && added.every(({ lstrip, rstrip }) => !lstrip && !rstrip) && single.size === 256
}

interface TokenizerFile {
  readonly normalizer?: unknown
  readonly added_tokens?: readonly { readonly lstrip?: boolean; readonly rstrip?: boolean }[]
}

/** What must hold for the byte table below to be right. */
const ByteLevelBpe = z.looseObject({
  model: z.looseObject({ type: z.literal('BPE') }),
  decoder: z.union([
    z.looseObject({ type: z.literal('ByteLevel') }),
    z.looseObject({
      type: z.literal('Sequence'),
      decoders: z.tuple([z.looseObject({ type: z.literal('ByteLevel') })]),
    }),
  ]),
})

function parseTokenizerJson(text: string, fail: (reason: string) => Error): object {
  try {
    const parsed = ByteLevelBpe.safeParse(JSON.parse(text))
    if (parsed.success) return parsed.data
    throw fail(`expected byte-level BPE, which is what is implemented (${issueText(parsed.error)})`)
  } catch (error) {
    throw error instanceof SyntaxError ? fail(error.message) : error
  }
}

function makeEngine(json: object, fail: (reason: string) => Error): TokenizerEngine {
  try {
    // The second argument is required; left to itself the engine would also tidy spaces away.
    return new TokenizerEngine(json, { clean_up_tokenization_spaces: false })
  } catch (error) {
    throw fail(error instanceof Error ? error.message : String(error))
  }
}

/** Indexed by id; ids that no token has hold the empty string. */
function tokenTexts(vocab: ReadonlyMap<string, number>): string[] {
  let size = 0
  for (const id of vocab.values()) size = Math.max(size, id + 1)
  const tokens = new Array<string>(size).fill('')
  for (const [token, id] of vocab) tokens[id] = token
  return tokens
}

/** A model may know more ids than its tokenizer (padded embeddings); those stand for nothing. */
function checkId(id: number): number {
  if (Number.isInteger(id) && id >= 0) return id
  throw new RangeError(`expected a token id, got ${id}`)
}

/**
 * Byte-level BPE writes each byte as a visible character: printable Latin-1 as itself, the other 68 bytes, in order,
 * as U+0100 and up. This is the way back.
 */
const byteOfCharacter = new Map(visibleCharacters().map((character, byte) => [character, byte]))

function visibleCharacters(): string[] {
  const isVisible = (byte: number) => (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad)
  let next = 0x100
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isVisible(byte) ? byte : next++))
}

/** Null when a character is none of the 256. */
function byteLevelBytes(token: string): Uint8Array | null {
  const bytes = Array.from(token, (character) => byteOfCharacter.get(character) ?? -1)
  return bytes.includes(-1) ? null : Uint8Array.from(bytes)
}

function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts)
}
