/** The whole service on one screen: `buildApp` is pure, everything it needs is handed in. */
import { randomUUID } from 'node:crypto'
import helmet, { type FastifyHelmetOptions } from '@fastify/helmet'
import {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  fastify,
  LogController,
} from 'fastify'
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod'
import type { ChatTemplate } from '../dylora/chat-template.ts'
import { type EvaluationLimits, Evaluations } from './evaluations.ts'
import type { JobService } from './job-service.ts'
import { LatencyBook, latencyListeners } from './latency.ts'
import { isOpenAiPath, sendOpenAiError } from './openai/openai-error.ts'
import { type AccessOptions, access, noAccessControl } from './plugins/access.ts'
import { gracefulClose } from './plugins/graceful-close.ts'
import { metrics } from './plugins/metrics.ts'
import { openapi } from './plugins/openapi.ts'
import { requestLog } from './plugins/request-log.ts'
import { unknownRoutes } from './plugins/unknown-routes.ts'
import { sendProblem } from './problem.ts'
import { adapterRoutes } from './routes/adapters.ts'
import { evaluateRoutes } from './routes/evaluate.ts'
import { generateRoutes } from './routes/generate.ts'
import { healthRoutes } from './routes/health.ts'
import { jobRoutes } from './routes/jobs.ts'
import { openAiRoutes } from './routes/openai.ts'
import { runtimeAdapterRoutes } from './routes/openai-adapters.ts'
import { openAiModelRoutes } from './routes/openai-models.ts'
import { pageRoutes } from './routes/page.ts'
import type { RuntimeAdapters } from './runtime-adapters.ts'
import { listen, type ServiceInfo, type Serving } from './serving.ts'
import { ShadowEvaluation } from './shadow-evaluation.ts'

export interface AppOptions {
  readonly engine: Serving
  readonly info: ServiceInfo
  /** Why requests cannot be answered now; null when they can. */
  readonly notReadyBecause: () => string | null
  readonly logger: FastifyBaseLogger
  readonly bodyLimitBytes: number
  readonly vllmMetrics?: boolean
  /** Null where the base model has none. */
  readonly chatTemplate?: ChatTemplate | null
  /** Null, as by default, where no adapter is loaded by request. */
  readonly runtimeAdapters?: RuntimeAdapters | null
  readonly evaluation?: Partial<EvaluationLimits>
  /** A stream that is quiet for so long gets a comment. */
  readonly heartbeatMs?: number
  /** A request must have arrived in whole within this time. */
  readonly receiveTimeoutMs?: number
  /** Where the built page is. */
  readonly pageDirectory?: string | null
  /** Training on request; null where this server trains nothing. */
  readonly jobs?: JobService | null
  /** By default everybody may do everything. */
  readonly access?: AccessOptions
  /** A connection on which nothing moves for so long is closed: longer than any request may take. */
  readonly idleTimeoutMs?: number
  /** One more is closed at once, so that bodies under way take no more memory than so many limits of one. */
  readonly maxConnections?: number
}

/** What browsers are told of every reply. Transport security is for the proxy that has the certificate to say. */
const securityHeaders: FastifyHelmetOptions = {
  contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
  strictTransportSecurity: false,
}

/** Does not own the engine: who made it closes it, after the app. */
export async function buildApp(options: AppOptions): Promise<FastifyInstance> {
  const {
    engine,
    info,
    notReadyBecause,
    vllmMetrics = false,
    heartbeatMs = 15_000,
    receiveTimeoutMs = 60_000,
    pageDirectory = null,
    chatTemplate = null,
    access: accessOptions = noAccessControl,
    idleTimeoutMs = 600_000,
    jobs = null,
  } = options
  const app = fastify({
    loggerInstance: options.logger,
    // One line a request is written by our own plugin.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: options.bodyLimitBytes,
    requestTimeout: receiveTimeoutMs,
    connectionTimeout: idleTimeoutMs,
    // Node exchanges the two limits where that for the headers is the longer one.
    http: { headersTimeout: receiveTimeoutMs, connectionsCheckingInterval: Math.min(receiveTimeoutMs, 10_000) },
    genReqId: ({ headers }) => givenRequestId(headers['x-request-id']) ?? randomUUID(),
    frameworkErrors: sendFailure,
    // A key named __proto__ is an unknown key like any other, and refused as one.
    onProtoPoisoning: 'ignore',
    onConstructorPoisoning: 'ignore',
    // Requests that come while closing meet the engine, which says that it shuts down.
    return503OnClosing: false,
  })
  if (options.maxConnections !== undefined) app.server.maxConnections = options.maxConnections
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  app.setErrorHandler(sendFailure)
  // JSON is all that a body may be.
  app.removeContentTypeParser('text/plain')

  const latency = new LatencyBook()
  app.addHook('onClose', async () => stopListening())
  const stopListening = listen(engine, latencyListeners(latency))

  await app.register(gracefulClose)
  await app.register(requestLog)
  await app.register(helmet, securityHeaders)
  await app.register(access, accessOptions)
  await app.register(unknownRoutes)
  await app.register(openapi, { version: info.version })
  const evaluations = new Evaluations(engine, options.evaluation)
  const shadows = new ShadowEvaluation(engine)
  // What has not been compared by now is not waited for.
  app.addHook('preClose', async () => shadows.close())
  await app.register(metrics, { engine, evaluations, shadows, info, jobs, vllmAliases: vllmMetrics })
  await app.register(generateRoutes, { engine, heartbeatMs })
  await app.register(openAiRoutes, { engine, info, chatTemplate, heartbeatMs })
  await app.register(openAiModelRoutes, { engine, info })
  await app.register(runtimeAdapterRoutes, { adapters: options.runtimeAdapters ?? null })
  await app.register(evaluateRoutes, { engine, evaluations })
  await app.register(adapterRoutes, { engine, latency })
  await app.register(jobRoutes, { jobs, heartbeatMs })
  await app.register(healthRoutes, { engine, info, notReadyBecause })
  await app.register(pageRoutes, { directory: pageDirectory })
  return app
}

/** Each family of clients gets failures in its own shape, also where no route is reached. */
function sendFailure(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  if (isOpenAiPath(request.url)) sendOpenAiError(error, request, reply)
  else sendProblem(error, request, reply)
}

/** A caller's own id is kept when it is harmless in logs and headers. */
const givenRequestId = (id: string | string[] | undefined): string | undefined =>
  typeof id === 'string' && /^[\w.:-]{1,128}$/.test(id) ? id : undefined
