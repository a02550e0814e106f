/** Sends fuzzed requests and judges every reply by the document. */
import fc from 'fast-check'
import { judgeOf, type OpenApi } from './documented.ts'
import { type FuzzedRequest, requestsOf } from './requests.ts'

export interface FuzzOptions {
  readonly url: string
  readonly document: OpenApi
  readonly requests: number
  readonly seed: number
  /** Requests that are sent together (8). */
  readonly concurrency?: number
  readonly onProgress?: (sent: number) => void
}

/** How often each operation answered with each status: `generate 200`. Throws what names the request whose reply is wrong, at once: no shrinking. */
export async function fuzz(options: FuzzOptions): Promise<Map<string, number>> {
  const { url, document, requests, seed, concurrency = 8, onProgress } = options
  const judge = judgeOf(document)
  const counts = new Map<string, number>()
  let sent = 0
  const ask = async ({ method, url: path, headers, body, operation }: FuzzedRequest): Promise<void> => {
    const response = await fetch(url + path, { method, headers, ...(body !== null && { body }) })
    const { status } = response
    const reply = { status, contentType: response.headers.get('content-type') ?? '', text: await response.text() }
    const fault = judge(operation, reply)
    if (fault !== null)
      throw new Error(`${operation.operationId}: ${fault}\n${method} ${path} ${JSON.stringify(headers)}\n${body}`)
    const key = `${operation.operationId} ${status}`
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  const together = fc.array(requestsOf(document), { minLength: concurrency, maxLength: concurrency })
  const property = fc.asyncProperty(together, async (batch) => {
    await Promise.all(batch.map(ask))
    sent += batch.length
    onProgress?.(sent)
  })
  const run = await fc.check(property, { numRuns: Math.ceil(requests / concurrency), seed, endOnFailure: true })
  if (run.failed) throw new Error(`seed ${seed}`, { cause: run.errorInstance })
  return counts
}
