/** The service's public routes, typed by its OpenAPI document; the key is kept for the tab alone. */
import { connection } from './connection.ts'
import type { components, operations } from './openapi.d.ts'
import { readEvents } from './server-sent-events.ts'

export type Adapter = components['schemas']['Adapter']
export type Rank = components['schemas']['Rank']
export type Quality = components['schemas']['Quality']
export type Latency = components['schemas']['Latency']
export type Info = components['schemas']['Info']
export type StreamEvent = components['schemas']['StreamEvent']
export type GenerateBody = operations['generateStream']['requestBody']['content']['application/json']
export type Parameters = NonNullable<GenerateBody['parameters']>
type Problem = components['schemas']['Problem']

const keyName = 'dylora-api-key'

export const apiKey = {
  get: (): string => sessionStorage.getItem(keyName) ?? '',
  set: (key: string): void => (key === '' ? sessionStorage.removeItem(keyName) : sessionStorage.setItem(keyName, key)),
}

/** What the server said no with, in its own words. */
export class Refusal extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** Scrapers and readers of the documentation need no key. */
const isOpenToAll = (path: string): boolean => /^\/(metrics|openapi\.json)\b/.test(path)

/** An address of this server; the page may be served below a path of a proxy. */
export const addressOf = (path: string): string => new URL(path.replace(/^\//, ''), document.baseURI).href

/** @throws Refusal, or the network's own error when the server does not answer */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers)
  const key = apiKey.get()
  if (key !== '') headers.set('authorization', `Bearer ${key}`)
  const response = await fetch(addressOf(path), { ...init, headers }).catch((error: unknown) => {
    if (!init.signal?.aborted) connection.lost()
    throw error
  })
  if (response.ok) connection.answered(!isOpenToAll(path))
  else await refuse(response)
  return response
}

async function refuse(response: Response): Promise<never> {
  const message = await reasonOf(response)
  if (response.status === 401) connection.locked(message)
  else connection.answered(true)
  throw new Refusal(response.status, message)
}

async function reasonOf(response: Response): Promise<string> {
  try {
    const problem = (await response.json()) as Partial<Problem>
    return problem.detail ?? `The server answered ${response.status}`
  } catch {
    return `The server answered ${response.status} ${response.statusText}`
  }
}

/** Of a route that changes something. */
export async function postJson<T>(method: 'POST' | 'DELETE', path: string, body: BodyInit | null = null): Promise<T> {
  return (await (await request(path, { method, body })).json()) as T
}

export async function getJson<T>(path: string, signal: AbortSignal): Promise<T> {
  return (await (await request(path, { signal })).json()) as T
}

export const getInfo = (signal: AbortSignal) => getJson<Info>('/info', signal)

/** Every adapter without its ranks, which is short however many there are. */
export const listAdapters = async (signal: AbortSignal): Promise<readonly Adapter[]> =>
  (await getJson<components['schemas']['AdapterList']>('/adapters?ranks=false', signal)).adapters

export const getAdapter = (id: string, minQuality: number, signal: AbortSignal) =>
  getJson<Adapter>(`/adapters/${encodeURIComponent(id)}?min_quality=${minQuality}`, signal)

/** Of these names only. */
export const getMetrics = async (names: readonly string[], signal: AbortSignal): Promise<string> =>
  (await request(`/metrics?${new URLSearchParams(names.map((name) => ['name', name]))}`, { signal })).text()

/** Which routes there are: a server may have more or fewer than this page knows. */
export const getPaths = async (signal: AbortSignal): Promise<ReadonlySet<string>> => {
  const document = await getJson<{ paths: Record<string, unknown> }>('/openapi.json', signal)
  return new Set(Object.keys(document.paths))
}

/** The tokens of one generation as they come. @throws Refusal, also for a failure in the middle */
export async function* generateStream(
  rank: string,
  body: GenerateBody,
  signal: AbortSignal,
): AsyncGenerator<StreamEvent> {
  const response = await request(`/generate_stream?rank=${encodeURIComponent(rank)}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal,
  })
  for await (const { data } of readEvents(response)) {
    const event = JSON.parse(data) as StreamEvent | Problem
    if ('error' in event) throw new Refusal(event.status, event.detail)
    yield event
  }
}
