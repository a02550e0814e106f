/** Downloads from a server that cuts connections, changes files, or does not have them. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { download } from '../../../src/evaluation/datasets/download.ts'
import { fetchOfficial } from '../../../src/evaluation/datasets/fetch-official.ts'

const content = Buffer.from(Array.from({ length: 50_000 }, (_, i) => `line ${i}`).join('\n'))
const sumOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
const sha256 = sumOf(content)
const fast = { waitMs: 1, silenceMs: 5000 }

type Answer = (headers: IncomingHttpHeaders, response: ServerResponse, request: number) => void

/** A server with one answer for every path; tells what was asked for. */
async function served(t: Test, answer: Answer) {
  const requests: IncomingHttpHeaders[] = []
  const server = createServer(({ headers }, response) => {
    requests.push(headers)
    answer(headers, response, requests.length)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}/file.txt`, requests, path: join(t.testdir({}), 'file.txt') }
}

/** Serves the range that is asked for, of the version that is asked for, and at most so many bytes. */
function whole(headers: IncomingHttpHeaders, response: ServerResponse, most = Number.POSITIVE_INFINITY, etag = '"v1"') {
  const range = /^bytes=(\d+)-$/.exec(headers.range ?? '')
  const from = range && headers['if-range'] === etag ? Number(range[1]) : 0
  const rest = content.subarray(from)
  const part = from > 0 ? { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` } : {}
  response.writeHead(from > 0 ? 206 : 200, { etag, 'content-length': rest.length, ...part })
  if (rest.length <= most) response.end(rest)
  else response.write(rest.subarray(0, most), () => setTimeout(() => response.destroy(), 20))
}

t.test('a cut connection is gone on with where it stopped', async (t) => {
  const { url, path, requests } = await served(t, (headers, response) => whole(headers, response, 150_000))
  t.equal(await download({ url, path, sha256, ...fast }), sha256)
  t.ok((await readFile(path)).equals(content))
  t.ok(requests.length > 2)
  t.match(requests.at(-1), { range: /^bytes=[1-9]\d+-$/, 'if-range': '"v1"', 'accept-encoding': 'identity' })
  t.same(await readdir(join(path, '..')), ['file.txt'], 'nothing else is left')
})

t.test('a later call goes on with what an earlier one left, and asks for nothing once the file is there', async (t) => {
  let most = 100_000
  const { url, path, requests } = await served(t, (headers, response) => whole(headers, response, most))
  const failing = download({ url, path, sha256, attempts: 1, ...fast })
  await t.rejects(failing, {
    code: 'dataset_invalid',
    message: /file\.txt' is not usable: the download failed: terminated/,
  })
  t.notOk(existsSync(path))
  most = content.length
  await download({ url, path, sha256, ...fast })
  t.equal(requests.length, 2)
  t.match(requests[1]?.range, /^bytes=[1-9]/)
  await download({ url, path, sha256, ...fast })
  t.equal(requests.length, 2)
})

t.test('a file that changed meanwhile, or a server without ranges, begins anew', async (t) => {
  for (const etag of ['"v2"', 'W/"weak"']) {
    const { url, path } = await served(t, (headers, response, request) =>
      request === 1 ? whole(headers, response, 100_000) : whole(headers, response, content.length, etag),
    )
    t.equal(await download({ url, path, sha256, ...fast }), sha256, etag)
  }
})

t.test('a part that is whole already is taken', async (t) => {
  const { url, path } = await served(t, (_, response) => {
    response.writeHead(416, { 'content-range': `bytes */${content.length}` }).end()
  })
  await writeFile(`${path}.part`, content)
  await writeFile(`${path}.part.tag`, '"v1"')
  t.equal(await download({ url, path, sha256, ...fast }), sha256)
})

t.test('a wrong checksum is refused and nothing is left, so that the next call begins anew', async (t) => {
  const { url, path } = await served(t, (headers, response) => whole(headers, response))
  const wrong = '0'.repeat(64)
  await t.rejects(download({ url, path, sha256: wrong, ...fast }), {
    code: 'dataset_invalid',
    message: `File '${url}' is not usable: expected the SHA-256 ${wrong}, got ${sha256}`,
  })
  t.same(await readdir(join(path, '..')), [])
})

t.test('what is not there is told at once, what may pass is tried again', async (t) => {
  const gone = await served(t, (_, response) => response.writeHead(404).end('no'))
  const { url, path } = gone
  await t.rejects(download({ url, path, sha256, ...fast }), { message: /the server answered HTTP 404$/ })
  t.equal(gone.requests.length, 1)
  const busy = await served(t, (headers, response, request) => {
    if (request < 3) response.writeHead(503).end()
    else whole(headers, response)
  })
  t.equal(await download({ url: busy.url, path: busy.path, sha256, ...fast }), sha256)
  const silent = await served(t, () => {})
  const options = { url: silent.url, path: silent.path, sha256, attempts: 2, waitMs: 1, silenceMs: 50 }
  await t.rejects(download(options), { code: 'dataset_invalid', message: /the download failed: / })
  t.equal(silent.requests.length, 2)
  const nobody = { ...options, url: 'http://127.0.0.1:1/x', path: join(silent.path, '..', 'new', 'file.txt') }
  await t.rejects(download(nobody), { code: 'dataset_invalid', message: /the download failed: fetch failed \(/ })
  t.notOk(existsSync(join(nobody.path, '..')), 'not even a directory is left')
})

t.test('a file without a published checksum is held to that of its first download', async (t) => {
  const { url, path } = await served(t, (headers, response) => whole(headers, response))
  const directory = join(path, '..', 'official')
  const said: string[] = []
  const fetched = (files: readonly { name: string; sha256: string | null }[]) =>
    fetchOfficial(
      files.map((file) => ({ ...file, url })),
      directory,
      (line) => said.push(line),
      fast,
    )
  await fetched([
    { name: 'a.txt', sha256 },
    { name: 'b.txt', sha256: null },
  ])
  t.same(JSON.parse(await readFile(join(directory, 'checksums.json'), 'utf8')), { 'b.txt': sha256 })
  t.match(said, [
    /^a\.txt: http/,
    /^b\.txt: http/,
    new RegExp(`^b\\.txt: no published checksum .* ${sha256} is recorded`),
  ])
  await writeFile(join(directory, 'b.txt'), 'damaged')
  await fetched([{ name: 'b.txt', sha256: null }])
  t.ok((await readFile(join(directory, 'b.txt'))).equals(content), 'a damaged file is fetched again')
  await writeFile(join(directory, 'checksums.json'), JSON.stringify({ 'b.txt': '1'.repeat(64) }))
  await t.rejects(fetched([{ name: 'b.txt', sha256: null }]), { message: /expected the SHA-256 1111/ })
})
