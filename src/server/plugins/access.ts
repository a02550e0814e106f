/** Who may do what: API keys, an admin key for what changes the service, and limits for each key. */
import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { errors } from '../../errors.ts'
import { type AccessKey, findKey } from '../access-keys.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Needs no key: probes, scrapers, and what reveals nothing. */
    open?: boolean
    /** Changes the service, so an API key is not enough. */
    admin?: boolean
  }
  interface FastifyRequest {
    /** The key that the request came with; null where none is needed. */
    accessKey: AccessKey | null
  }
}

export interface AccessOptions {
  /** Those that are valid now; null asks for none. */
  readonly keys: () => readonly AccessKey[] | null
  /** Requests of one key (without keys: of one address) in a minute; 0 is no limit. */
  readonly requestsPerMinute: number
  /** Requests of one key at once; 0 is no limit. */
  readonly concurrency: number
  /**
   * Where nobody needs a key because only this machine reaches the address: a request must name this machine too, or a
   * page in its user's browser could ask by a name that it lets point here.
   */
  readonly localOnly?: boolean
}

export const noAccessControl: AccessOptions = { keys: () => null, requestsPerMinute: 0, concurrency: 0 }

/** Routes without a configuration of their own that reveal nothing: the documentation and the page's files. */
const openPaths = /^\/(docs(\/.*)?|openapi\.json|assets\/.*|index\.html)?$/

const isOpen = ({ method, routeOptions: { config, url } }: FastifyRequest): boolean =>
  config?.open === true || (['GET', 'HEAD'].includes(method) && url !== undefined && openPaths.test(url))

/** Registered before the routes, so that it sees every request first. */
export const access = fp<AccessOptions>(
  async (app, { keys, requestsPerMinute, concurrency, localOnly = false }) => {
    app.decorateRequest('accessKey', null)
    app.addHook('onRequest', async (request, reply) => {
      const valid = keys()
      if (isOpen(request)) return
      if (valid === null) return expectNoForeigner(request, localOnly)
      try {
        request.accessKey = authorized(request, valid)
      } catch (error) {
        if (error instanceof Error && !hasToken(request))
          reply.header('www-authenticate', 'Bearer realm="dylora-serve"')
        else reply.header('www-authenticate', 'Bearer realm="dylora-serve", error="invalid_token"')
        throw error
      }
    })
    if (requestsPerMinute > 0) {
      await app.register(rateLimit, {
        max: requestsPerMinute,
        timeWindow: 60_000,
        keyGenerator: holderOf,
        allowList: isOpen,
        errorResponseBuilder: (_request, { ttl, max }) =>
          errors.overloaded(`More than ${max} requests in a minute: try again in ${Math.ceil(ttl / 1000)} s`, {
            limit: max,
          }),
      })
    }
    if (concurrency > 0) limitConcurrency(app, concurrency)
  },
  { name: 'access' },
)

/**
 * Where no key is asked for, a page of another site must not act through the browser of somebody who may: a form is sent
 * anywhere without asking, and a name may point anywhere.
 * @throws forbidden
 */
function expectNoForeigner({ method, headers, host }: FastifyRequest, localOnly: boolean): void {
  if (localOnly && !isLoopback(partsOf(`http://${host}`)?.hostname ?? ''))
    throw errors.forbidden(`Expected a name of this machine such as localhost, got '${host}': see AUTH`)
  if (['GET', 'HEAD', 'OPTIONS'].includes(method)) return
  const { 'sec-fetch-site': site, origin } = headers
  const own = site === undefined ? origin === undefined || partsOf(origin)?.host === host : ownSites.has(String(site))
  if (!own) throw errors.forbidden('This comes from a page of another site, and needs an API key: see AUTH')
}

/** What a browser says of a request that this server's own page, or the user, has made. */
const ownSites: ReadonlySet<string> = new Set(['same-origin', 'none'])

const partsOf = (address: string): URL | null => (URL.canParse(address) ? new URL(address) : null)

/** Does this address reach this machine alone? */
export const isLoopback = (host: string): boolean => /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/i.test(host)

/** Whose limits a request counts for. */
const holderOf = ({ accessKey, ip }: FastifyRequest): string =>
  accessKey === null ? `address ${ip}` : `key ${accessKey.name}`

const bearer = /^Bearer +([^\s]+) *$/i

const hasToken = ({ headers }: FastifyRequest): boolean => bearer.test(headers.authorization ?? '')

/** @throws unauthorized without a valid key, forbidden where only an admin key will do */
function authorized({ headers, routeOptions }: FastifyRequest, valid: readonly AccessKey[]): AccessKey {
  const [, token] = bearer.exec(headers.authorization ?? '') ?? []
  if (token === undefined)
    throw errors.unauthorized("This needs an API key: expected the header 'Authorization: Bearer <key>'")
  const key = findKey(valid, token)
  if (key === null) throw errors.unauthorized('This API key is not known')
  if (routeOptions.config?.admin === true && !key.admin) {
    throw errors.forbidden(`This needs an admin key: '${key.name}' is none`)
  }
  return key
}

/** Counted from the first byte to the end of the reply, or until the client is gone. */
function limitConcurrency(app: FastifyInstance, most: number): void {
  const running = new Map<string, number>()
  app.addHook('onRequest', async (request, reply) => {
    if (isOpen(request)) return
    const holder = holderOf(request)
    const count = running.get(holder) ?? 0
    if (count >= most)
      throw errors.overloaded(`More than ${most} requests at once: wait for one to end`, { limit: most })
    running.set(holder, count + 1)
    reply.raw.once('close', () => {
      const left = (running.get(holder) ?? 1) - 1
      if (left === 0) running.delete(holder)
      else running.set(holder, left)
    })
  })
}
