/** Text from files that others made: gzipped or not, any line end, a byte order mark or none, and UTF-8 or refused. */
import { isUtf8 } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import { gunzipSync } from 'node:zlib'
import { errors } from '../../errors.ts'

/** A file's whole text. What it is called in messages is the path as it was given. */
export interface TextFile {
  readonly file: string
  readonly text: string
}

/** Throws `dataset_invalid` for a file that is not there, is cut short, or is not UTF-8, naming the byte and the line. */
export async function readTextFile(file: string): Promise<TextFile> {
  const bytes = await readFile(file).catch((error: unknown) => {
    throw errors.datasetInvalid(file, unreadable(error))
  })
  return textFileOf(file, bytes)
}

/** The same of bytes that are at hand, for instance from an archive. */
export const textFileOf = (file: string, bytes: Buffer): TextFile => ({
  file,
  text: decode(file, unzipped(file, bytes)),
})

/** The file's name without `.gz`, by which its format is told. */
export const plainName = (file: string): string => file.replace(/\.gz$/i, '')

/**
 * The lines without their ends. The last line may lack its end; a file without any line feed may end its lines with
 * carriage returns alone, as old files do.
 */
export function linesOf(text: string): string[] {
  if (text === '') return []
  const lines = text.split(text.includes('\n') ? /\r?\n/ : /\r/)
  if (lines.at(-1) === '') lines.pop()
  return lines
}

/** A failure in a line of a file; lines are counted from 1. */
export const invalidLine = (file: string, line: number, reason: string) =>
  errors.datasetInvalid(file, `line ${line}: ${reason}`, { line })

/** A piece of text for a message: one line, not too long. */
export function excerpt(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim()
  return line.length > 60 ? `${line.slice(0, 57)}...` : line
}

function unzipped(file: string, bytes: Buffer): Buffer {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) {
    if (!/\.gz$/i.test(file)) return bytes
    throw errors.datasetInvalid(file, 'expected gzipped data, as the name says')
  }
  try {
    return gunzipSync(bytes)
  } catch (error) {
    throw errors.datasetInvalid(file, `expected whole gzipped data: ${reasonOf(error)}`)
  }
}

function decode(file: string, bytes: Buffer): string {
  const other = otherEncoding(bytes)
  if (other !== null) throw errors.datasetInvalid(file, `expected text in UTF-8, got ${other}`)
  if (!isUtf8(bytes)) throw notUtf8(file, bytes)
  return bytes.toString('utf8').replace(/^\uFEFF/, '')
}

/** By the byte order mark, or by the zero bytes that ASCII characters have in it. */
function otherEncoding(bytes: Buffer): string | null {
  const [a, b, c, d] = bytes
  if (a === 0xff && b === 0xfe) return c === 0 && d === 0 ? 'UTF-32 (little-endian)' : 'UTF-16 (little-endian)'
  if (a === 0xfe && b === 0xff) return 'UTF-16 (big-endian)'
  const start = bytes.subarray(0, 1024)
  const zeros = (odd: number) => start.filter((byte, at) => at % 2 === odd && byte === 0).length
  const many = Math.max(1, start.length / 5)
  if (zeros(1) >= many) return 'UTF-16 (little-endian, without a byte order mark)'
  if (zeros(0) >= many) return 'UTF-16 (big-endian, without a byte order mark)'
  return null
}

function notUtf8(file: string, bytes: Buffer): Error {
  let line = 1
  for (let start = 0; start <= bytes.length; line++) {
    const feed = bytes.indexOf(0x0a, start)
    const end = feed < 0 ? bytes.length : feed
    const piece = bytes.subarray(start, end)
    if (!isUtf8(piece)) {
      const offset = start + firstBadByte(piece)
      const value = `0x${bytes[offset]!.toString(16).padStart(2, '0')}`
      const reason = `line ${line}: expected text in UTF-8, got the byte ${value} at offset ${offset}`
      return errors.datasetInvalid(file, reason, { line, offset })
    }
    start = end + 1
  }
  throw new RangeError(`Expected a line of ${file} that is not UTF-8, found none`)
}

/** Where the decoder puts a replacement character that the bytes do not spell. */
function firstBadByte(bytes: Buffer): number {
  const text = bytes.toString('utf8')
  let offset = 0
  for (const character of text) {
    const written = Buffer.from(character)
    if (!written.equals(bytes.subarray(offset, offset + written.length))) break
    offset += written.length
  }
  return offset
}

/** What people most often get wrong about a path, in words. */
const pathMistakes: Readonly<Record<string, string>> = {
  ENOENT: 'expected a file, got none under this name (ENOENT)',
  EISDIR: 'expected a file, got a directory (EISDIR)',
}

function unreadable(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return pathMistakes[code] ?? reasonOf(error)
}

const reasonOf = (error: unknown) => (error instanceof Error ? error.message : String(error))
