/** Files of the Hugging Face hub, kept on this machine by commit: what was fetched once is there without a network. */
import { createHash } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { downloadFile, HubApiError, listFiles, modelInfo } from '@huggingface/hub'
import { z } from 'zod'
import { errors } from '../../errors.ts'
import { readJsonFile } from '../json-file.ts'
import { exists, publishFile } from '../publish.ts'
import { type FileChoice, MissingFilesError } from './hub-files.ts'
import { type HubId, hubIdText, isCommit } from './hub-id.ts'

export interface HubOptions {
  readonly cacheDirectory: string
  /** Another hub than huggingface.co. */
  readonly endpoint: string | undefined
  /** Sent to the hub alone. */
  readonly token: string | undefined
  /** Told of each file before it is fetched. */
  readonly tell: (line: string) => void
}

export interface Snapshot {
  /** With the chosen files under their own names. */
  readonly directory: string
  readonly commit: string
}

const Entry = z.object({ path: z.string(), size: z.int().min(0), oid: z.string(), sha256: z.string().optional() })
const Listing = z.object({ files: z.array(Entry) })
type Entry = z.infer<typeof Entry>

/** Beside the files of a commit: what all there is in it. Begins with a dot, as no chosen file does. */
const listingFile = '.listing.json'

/**
 * The chosen files of a repository at a revision, fetched unless they are there. Each is held to the checksum that the hub
 * gives and appears whole or not at all. A branch or tag is asked for first; where the hub cannot be reached, the commit
 * it was last seen at stands for it.
 *
 * @throws checkpoint_invalid, which says whether the repository, the right to read it, a file or the network is missing
 */
export async function fetchSnapshot(id: HubId, choose: FileChoice, options: HubOptions): Promise<Snapshot> {
  const fail = (reason: string) => errors.checkpointInvalid(hubIdText(id), reason)
  if (options.token !== undefined && !options.token.startsWith('hf_')) {
    throw fail('HF_TOKEN: expected a token that begins with hf_')
  }
  return explained(fail, options, async () => {
    const root = join(options.cacheDirectory, id.repository.replace('/', '--'))
    const commit = await commitOf(id, root, options)
    const directory = join(root, commit)
    await mkdir(directory, { recursive: true })
    const listing = await listingOf(id, commit, directory, options)
    const wanted = new Set(choose(listing.map(({ path }) => path)))
    for (const entry of listing.filter(({ path }) => wanted.has(path))) {
      if (!(await exists(join(directory, entry.path)))) await download(id, commit, entry, directory, options)
    }
    return { directory, commit }
  })
}

const access = ({ endpoint, token }: HubOptions) => ({
  ...(endpoint !== undefined && { hubUrl: endpoint.replace(/\/+$/, '') }),
  ...(token !== undefined && { accessToken: token }),
})

async function commitOf(id: HubId, root: string, options: HubOptions): Promise<string> {
  if (isCommit(id.revision)) return id.revision
  const lastSeen = join(root, 'refs', id.revision.replaceAll('/', '--'))
  try {
    const named = { name: id.repository, revision: id.revision, additionalFields: ['sha' as const] }
    const { sha } = await modelInfo({ ...named, ...access(options) })
    if (!isCommit(sha)) throw new ChecksumError(`expected a commit for its revision, got '${sha}'`)
    await mkdir(join(root, 'refs'), { recursive: true })
    await publishFile(lastSeen, (handle) => handle.writeFile(sha))
    return sha
  } catch (error) {
    if (!isUnreachable(error)) throw error
    const commit = await readFile(lastSeen, 'utf8').catch(() => '')
    if (!isCommit(commit)) throw error
    options.tell(`${hubIdText(id)}: the hub cannot be reached; taken as it was last seen, at ${commit}`)
    return commit
  }
}

async function listingOf(id: HubId, commit: string, directory: string, options: HubOptions): Promise<Entry[]> {
  const path = join(directory, listingFile)
  // What a commit holds never changes. A listing that cannot be read is asked for again.
  const known = await readJsonFile(path, Listing, (reason) => new ChecksumError(reason)).catch(() => null)
  if (known !== null) return known.files
  const files: Entry[] = []
  for await (const entry of listFiles({ repo: id.repository, revision: commit, ...access(options) })) {
    const { type, path, size, oid = '', lfs } = entry
    if (type === 'file') files.push({ path, size, oid, ...(lfs && { sha256: lfs.oid.replace(/^sha256:/, '') }) })
  }
  await publishFile(path, (handle) => handle.writeFile(JSON.stringify({ files })))
  return files
}

async function download(id: HubId, commit: string, entry: Entry, directory: string, options: HubOptions) {
  const { path, size } = entry
  options.tell(`${hubIdText(id)}: fetching ${path}, ${size} bytes`)
  const blob = await downloadFile({ repo: id.repository, path, revision: commit, ...access(options) })
  if (blob === null) throw new MissingFilesError(`there is no ${path}`)
  await publishFile(join(directory, path), async (handle) => {
    for await (const chunk of checked(blob, entry)) await handle.writeFile(chunk)
  })
}

/** Passes the bytes on, and throws at their end if they are not those that the hub lists: SHA-256, or git's own digest of small files. */
async function* checked(blob: Blob, { path, size, oid, sha256 }: Entry): AsyncGenerator<Uint8Array> {
  const hash = sha256 === undefined ? createHash('sha1').update(`blob ${size}\0`) : createHash('sha256')
  let got = 0
  for await (const chunk of blob.stream()) {
    got += chunk.length
    hash.update(chunk)
    yield chunk
  }
  if (got !== size) throw new ChecksumError(`${path}: expected ${size} bytes, got ${got}`)
  const [digest, expected] = [hash.digest('hex'), sha256 ?? oid]
  if (digest !== expected) throw new ChecksumError(`${path}: expected checksum ${expected}, got ${digest}`)
}

/** What came is not what was announced. */
class ChecksumError extends Error {}

/** The runtime's fetch throws a TypeError for whatever keeps it from an answer; the hub's own 5xx is no better. */
function isUnreachable(error: unknown): boolean {
  if (error instanceof HubApiError) return error.statusCode >= 500 || error.statusCode === 429
  return error instanceof TypeError && (error.message === 'fetch failed' || error.message === 'terminated')
}

const refusals: Readonly<Record<number, string>> = {
  401: 'the hub wants a token that may read it (HF_TOKEN), or there is no such repository',
  403: 'the token (HF_TOKEN) may not read it',
  404: 'there is no such repository or revision on the hub',
}

async function explained<T>(
  fail: (reason: string) => Error,
  { endpoint = 'https://huggingface.co' }: HubOptions,
  run: () => Promise<T>,
): Promise<T> {
  try {
    return await run()
  } catch (error) {
    if (error instanceof ChecksumError || error instanceof MissingFilesError) throw fail(error.message)
    if (error instanceof HubApiError && refusals[error.statusCode]) throw fail(refusals[error.statusCode] ?? '')
    if (isUnreachable(error)) throw fail(`the hub cannot be reached at ${endpoint}: ${causeOf(error)}`)
    throw error
  }
}

function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? error.cause.message || String(error.cause) : error.message
}
