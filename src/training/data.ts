/** From files to token sequences: JSON lines of context and completion, or plain text. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { z } from 'zod'
import type { Prompt } from '../dylora/adapter.ts'
import type { TokenSequence } from '../dylora/sequences.ts'
import type { Tokenizer } from '../dylora/tokenizer.ts'
import { errors } from '../errors.ts'

const Example = z.strictObject({ context: z.string(), completion: z.string().min(1) })
export type Example = z.infer<typeof Example>

/** Ends a document of a text file. Without the line break it is the same token inside a document. */
const documentEnd = /<\|endoftext\|>(?:\n|$)/

/** The sequences of a file and what is known of it. */
export interface Dataset {
  readonly file: string
  readonly digest: string
  readonly sequences: readonly TokenSequence[]
  /** Examples that do not fit the model's positions. */
  readonly leftOut: number
}

export interface EncodingOptions {
  readonly tokenizer: Tokenizer
  readonly prompt: Prompt
  /** Ends a completion. */
  readonly eosTokenId: number
  /** The longest sequence that the model takes. */
  readonly maxLength: number
}

/** Reads `*.jsonl` as examples and anything else as text. Errors name the line. */
export async function readDataset(file: string, options: EncodingOptions): Promise<Dataset> {
  const bytes = await readFile(file).catch((error: unknown) => {
    throw errors.datasetInvalid(file, error instanceof Error ? error.message : String(error))
  })
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
  const all = file.endsWith('.jsonl')
    ? await encodeExamples(file, options)
    : encodeDocuments(bytes.toString('utf8'), options)
  const sequences = all.filter(({ ids }) => ids.length <= options.maxLength)
  if (sequences.length === 0) {
    throw errors.datasetInvalid(
      file,
      `expected at least one example of up to ${options.maxLength} tokens, got ${all.length} in all`,
    )
  }
  return { file, digest, sequences, leftOut: all.length - sequences.length }
}

async function encodeExamples(file: string, options: EncodingOptions): Promise<TokenSequence[]> {
  const encoded: TokenSequence[] = []
  for await (const example of readExamples(file)) encoded.push(encodeExample(example, options))
  return encoded
}

/** The examples of a file of JSON lines, blank ones left out, one after the other. Throws dataset_invalid, which names the line. */
export async function* readExamples(file: string): AsyncGenerator<Example> {
  let line = 0
  // Without a decoding: a byte that is no UTF-8 would silently become another character.
  const input = createReadStream(file, 'latin1')
  for await (const bytes of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    line++
    const text = decode(file, bytes, line)
    if (text.trim() !== '') yield parseExample(file, text, line)
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** A mark at the beginning, as some editors put it there, is no part of the line. */
function decode(file: string, bytes: string, number: number): string {
  try {
    return utf8.decode(Buffer.from(bytes, 'latin1'))
  } catch {
    throw errors.datasetInvalid(file, `line ${number}: expected UTF-8, got other bytes`, { line: number })
  }
}

/** One JSON object a line: {"context": "...", "completion": "..."}. */
function parseExample(file: string, line: string, number: number): Example {
  const parsed = Example.safeParse(parseJson(file, line, number))
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const where = issue?.path.join('.') ?? ''
  throw errors.datasetInvalid(
    file,
    `line ${number}: ${where === '' ? '' : `${where}: `}${issue?.message ?? 'invalid'}`,
    { line: number },
  )
}

function parseJson(file: string, line: string, number: number): unknown {
  try {
    return JSON.parse(line)
  } catch (error) {
    throw errors.datasetInvalid(file, `line ${number}: ${error instanceof Error ? error.message : String(error)}`, {
      line: number,
    })
  }
}

/** prefix + context + suffix + " completion" + end of text; the loss is on what follows the suffix. */
export function encodeExample(
  { context, completion }: Example,
  { tokenizer, prompt, eosTokenId }: EncodingOptions,
): TokenSequence {
  const given = [...prompt.prefix, ...tokenizer.encode(context), ...prompt.suffix]
  const ids = Int32Array.from([...given, ...tokenizer.encode(` ${completion}`), eosTokenId])
  return { ids, lossFrom: given.length }
}

/** Each document is a sequence of its own (cut where it is too long), so that it is learnt at the positions where it is used. */
function encodeDocuments(text: string, { tokenizer, eosTokenId, maxLength }: EncodingOptions): TokenSequence[] {
  return text.split(documentEnd).flatMap((document) => {
    if (document.trim() === '') return []
    const ids = Int32Array.from([...tokenizer.encode(document), eosTokenId])
    const windows = Math.ceil(ids.length / maxLength)
    const windowLength = Math.ceil(ids.length / windows)
    return Array.from({ length: windows }, (_, i) => ({
      ids: ids.subarray(i * windowLength, (i + 1) * windowLength),
      lossFrom: 1,
    })).filter((window) => window.ids.length > 1)
  })
}
