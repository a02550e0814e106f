/** Fetches a file whole: goes on where an earlier attempt stopped, checks the sum, and only then gives the file its name. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { publishFile } from '../../dylora/publish.ts'
import { errors } from '../../errors.ts'

export interface DownloadOptions {
  readonly url: string
  readonly path: string
  /** Null where it is not known: then what comes is taken, and its sum returned. */
  readonly sha256: string | null
  /** Attempts that bring nothing before it is given up (default 4). */
  readonly attempts?: number
  /** Wait before the next attempt, in milliseconds, times the attempts so far (default 1000). */
  readonly waitMs?: number
  /** How long a connection may stay silent, in milliseconds (default 60000). */
  readonly silenceMs?: number
}

/**
 * Downloads to `path` and returns the SHA-256. A file that is there and whole is not fetched again. What was loaded lies
 * in `path.part` until it is whole; the next call goes on from there (RFC 9110, Range and If-Range). Throws
 * `dataset_invalid` for a wrong sum, which removes the part, and for a server that does not give the file.
 */
export async function download(options: DownloadOptions): Promise<string> {
  const { url, path, sha256 } = options
  const there = await digestOf(path)
  if (there !== null && (sha256 === null || there === sha256)) return there
  const part = `${path}.part`
  await loadWhole(options, part)
  const got = await digestOf(part)
  if (got === null || (sha256 !== null && got !== sha256)) {
    await removePart(part)
    throw errors.datasetInvalid(url, `expected the SHA-256 ${sha256}, got ${got}`, { expected: sha256, got })
  }
  await sync(part)
  await rename(part, path)
  await removePart(part)
  return got
}

async function loadWhole({ url, attempts = 4, waitMs = 1000, silenceMs = 60_000 }: DownloadOptions, part: string) {
  for (let failed = 0; ; ) {
    const before = await sizeOf(part)
    try {
      await loadRest(url, part, before, silenceMs)
      return
    } catch (error) {
      if (!isPassing(error)) throw error
      failed = (await sizeOf(part)) > before ? 1 : failed + 1
      if (failed >= attempts) throw errors.datasetInvalid(url, `the download failed: ${reasonOf(error)}`)
      await new Promise((resolve) => setTimeout(resolve, failed * waitMs))
    }
  }
}

/** A server or a network that may do better next time. */
class PassingError extends Error {}

/** What fetch throws for a connection that is not made, or is cut: a TypeError with a cause. */
const isPassing = (error: unknown) =>
  error instanceof PassingError ||
  (error instanceof Error && (error.name === 'AbortError' || (error instanceof TypeError && error.cause !== undefined)))

/** One request for what is missing, appended to the part. */
async function loadRest(url: string, part: string, have: number, silenceMs: number): Promise<void> {
  const tag = have > 0 ? await tagOf(part) : null
  const silence = new AbortController()
  const timer = setTimeout(() => silence.abort(), silenceMs)
  try {
    // The sums are of the files, not of what a server makes of them on the way.
    const headers: Record<string, string> = { 'accept-encoding': 'identity' }
    if (tag !== null) Object.assign(headers, { range: `bytes=${have}-`, 'if-range': tag })
    const response = await fetch(url, { headers, signal: silence.signal })
    const from = startOf(response, url, tag === null ? 0 : have)
    if (from === null || response.body === null) return await response.body?.cancel()
    await mkdir(dirname(part), { recursive: true })
    await rememberTag(part, response)
    const handle = await open(part, from === 0 ? 'w' : 'a')
    // The stream closes the handle.
    await pipeline(response.body, watched(timer), handle.createWriteStream())
  } finally {
    clearTimeout(timer)
  }
}

/** Passes data on, and begins to count the silence anew. */
const watched = (timer: NodeJS.Timeout) =>
  async function* (source: AsyncIterable<Uint8Array>) {
    for await (const chunk of source) {
      timer.refresh()
      yield chunk
    }
  }

/** Where the answer's body begins; null where nothing is missing. Throws for an answer without the file. */
function startOf({ status, headers }: Response, url: string, have: number): number | null {
  if (status === 200) return 0
  const range = headers.get('content-range') ?? ''
  if (status === 206 && range.startsWith(`bytes ${have}-`)) return have
  if (status === 416 && range === `bytes */${have}`) return null
  if (status >= 500 || status === 429 || status === 408) throw new PassingError(`HTTP ${status}`)
  throw errors.datasetInvalid(url, `the server answered HTTP ${status}${range && ` with the range '${range}'`}`)
}

/** Without a strong validator of the version, parts of two versions might be put together: then nothing is resumed. */
async function rememberTag(part: string, { headers }: Response): Promise<void> {
  const tag = headers.get('etag')
  const validator = tag?.startsWith('"') ? tag : headers.get('last-modified')
  if (validator) await publishFile(`${part}.tag`, async (handle) => handle.writeFile(validator))
  else await rm(`${part}.tag`, { force: true })
}

const tagOf = (part: string) => readFile(`${part}.tag`, 'utf8').catch(() => null)

async function removePart(part: string): Promise<void> {
  await rm(part, { force: true })
  await rm(`${part}.tag`, { force: true })
}

const sizeOf = async (path: string) => (await stat(path).catch(() => null))?.size ?? 0

async function digestOf(path: string): Promise<string | null> {
  if (!(await stat(path).catch(() => null))) return null
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r+')
  await handle.sync().finally(() => handle.close())
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message
}
