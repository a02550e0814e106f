/** `npm run fuzz -- --requests 100000`: fuzzed requests against the service over the tiny checkpoint, or against `--url`. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { openApiDocument } from '../../src/server/openapi-document.ts'
import type { OpenApi } from './documented.ts'
import { fuzz } from './fuzz.ts'
import { fuzzedApp } from './fuzzed-app.ts'

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '10000' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    concurrency: { type: 'string', default: '8' },
    url: { type: 'string' },
  },
})
const directory = await mkdtemp(join(tmpdir(), 'fuzz-'))
const closers: (() => Promise<unknown>)[] = [() => rm(directory, { recursive: true, force: true })]
const started = performance.now()
try {
  const url =
    values.url ?? (await fuzzedApp({ testdir: () => directory, teardown: (close) => void closers.unshift(close) }))
  console.log(`seed ${values.seed}, ${url}`)
  const counts = await fuzz({
    url,
    document: JSON.parse(JSON.stringify(await openApiDocument('0'))) as OpenApi,
    requests: Number(values.requests),
    seed: Number(values.seed),
    concurrency: Number(values.concurrency),
    onProgress: (sent) => {
      if (sent % 10_000 < Number(values.concurrency)) console.log(`${sent} requests`)
    },
  })
  for (const [key, count] of [...counts].toSorted()) console.log(`${String(count).padStart(8)} ${key}`)
  console.log(`every reply as documented, none a 5xx, in ${Math.round((performance.now() - started) / 1000)} s`)
} catch (error) {
  console.error(error instanceof Error ? error.message : error, (error as Error).cause)
  process.exitCode = 1
} finally {
  for (const close of closers) await close()
}
