/** `dylora serve`: the base model and its adapters over HTTP, until a signal says to stop. */
import { type ParseArgsConfig, parseArgs } from 'node:util'
import closeWithGrace from 'close-with-grace'
import { type Logger, pino } from 'pino'
import { bundled, type Config, loadConfig, settings } from '../config.ts'
import type { Adapter } from '../dylora/adapter.ts'
import { type BaseModel, readBaseModel } from '../dylora/base-model.ts'
import { type ChatTemplate, readChatTemplate } from '../dylora/chat-template.ts'
import { formatName } from '../dylora/quantization.ts'
import type { AdapterStore } from '../dylora/store/adapter-store.ts'
import { readTokenizer } from '../dylora/tokenizer.ts'
import { errors } from '../errors.ts'
import { Engine } from '../inference/engine.ts'
import { devices } from '../inference/model-host.ts'
import { NativeRuntime } from '../onnx/native/runtime.ts'
import { AdapterWatcher } from '../server/adapter-watcher.ts'
import { buildApp } from '../server/app.ts'
import { JobService } from '../server/job-service.ts'
import { registrySink } from '../server/registry-sink.ts'
import { runtimeAdapters } from '../server/runtime-adapters.ts'
import type { ServiceInfo } from '../server/serving.ts'
import { startWatchdog } from '../server/watchdog.ts'
import { adapterStore } from './adapter-store.ts'
import { baseDirectory } from './base-directory.ts'
import { type DeviceChoice, onDevice } from './device.ts'
import { publishHubAdapters, withBaseHere } from './hub.ts'
import { jobBases } from './job-bases.ts'
import { openKeyRing } from './key-ring.ts'
import { packageVersion } from './package-version.ts'

/** `--max-batch-size` stands for MAX_BATCH_SIZE, and comes before it. */
const flagOf = (name: string): string => name.toLowerCase().replaceAll('_', '-')

const options: NonNullable<ParseArgsConfig['options']> = {
  help: { type: 'boolean' },
  ...Object.fromEntries(settings().map(({ name }) => [flagOf(name), { type: 'string' as const }])),
}

export async function run(args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options })
  if (values.help) {
    console.log(help())
    return 0
  }
  const flags = Object.fromEntries(settings().map(({ name }) => [name, values[flagOf(name)]] as const))
  const given = Object.entries(flags).filter((flag): flag is [string, string] => typeof flag[1] === 'string')
  const environment = { ...process.env, ...Object.fromEntries(given) }
  await serve(loadConfig(environment), environment)
  return 0
}

function help(): string {
  const lines = settings().map(
    ({ name, default: value, description }) =>
      `  --${flagOf(name).padEnd(22)}${description}${value === '' ? '' : ` (${value})`}`,
  )
  return [
    'Usage: dylora serve [options]',
    '',
    'Each option is also an environment variable: PORT for --port.',
    '',
    ...lines,
  ].join('\n')
}

type Environment = Readonly<Record<string, string | undefined>>

async function serve(settings: Config, environment: Environment): Promise<void> {
  const log = pino({ level: settings.LOG_LEVEL, redact: ['req.headers.authorization'] })
  // Before the model is loaded: what is not allowed to start says so at once.
  const ring = await openKeyRing(settings, log)
  const config = await withBaseHere(settings, (line) => log.info(line))
  const store = await adapterStore(config)
  const { engine, info, chatTemplate, base } = await startEngine(config, log)
  let notReady: string | null = 'The adapters are being loaded'
  const jobs = jobService(config, environment, log)
  const app = await buildApp({
    jobs,
    engine,
    info,
    notReadyBecause: () => notReady,
    logger: log,
    bodyLimitBytes: config.BODY_LIMIT,
    vllmMetrics: config.VLLM_METRICS,
    chatTemplate,
    runtimeAdapters: config.ALLOW_RUNTIME_LORA_UPDATING ? runtimeAdapters(engine.registry, store, log) : null,
    evaluation: evaluationLimits(config),
    pageDirectory: bundled.page,
    access: {
      keys: ring.keys,
      localOnly: ring.localOnly,
      requestsPerMinute: config.KEY_REQUESTS_PER_MINUTE,
      concurrency: config.KEY_CONCURRENCY,
    },
    maxConnections: config.MAX_CONNECTIONS,
    // Only a client that reads nothing comes to this.
    idleTimeoutMs: (config.REQUEST_TIMEOUT + 30) * 1000,
  })
  const watcher = new AdapterWatcher({
    store,
    sink: registrySink(engine.registry, store, log),
    warn: (error, message) => log.warn({ err: error }, message),
  })
  const unwatch = startWatchdog(engine, { limitMs: config.STEP_TIMEOUT * 1000 })
  const stop = async () => {
    notReady = 'The server is shutting down'
    await watcher.close()
    await jobs.close()
    // From now on new requests are turned away; those under way are finished, and their replies sent.
    const drained = engine.drain()
    await app.close()
    await drained
    await engine.close()
    await unwatch()
    ring.close()
  }
  stopOnSignal(stop, config.SHUTDOWN_TIMEOUT * 1000, log)
  try {
    await publishHubAdapters(config, base, store, {
      tell: (line) => log.info(line),
      refuse: (error, adapter) => log.error({ err: error, adapter }, 'an adapter of the hub could not be taken'),
    })
    await found(watcher, store)
    const { defaultAdapter } = engine.registry
    if (config.DEFAULT_ADAPTER !== undefined && defaultAdapter !== config.DEFAULT_ADAPTER) {
      log.warn({ wanted: config.DEFAULT_ADAPTER, taken: defaultAdapter }, 'the default adapter does not serve')
    }
    notReady = null
    await listen(app, config)
    jobs.resume().catch((error: unknown) => log.error({ err: error }, 'the queue of jobs could not be opened'))
  } catch (error) {
    await stop()
    throw error
  }
}

/** What cannot be reached at the start is a mistake in the settings more often than not. */
async function found(watcher: AdapterWatcher<Adapter>, { place }: AdapterStore): Promise<void> {
  await watcher.start().catch((error: unknown) => {
    throw errors.configurationInvalid([`ADAPTERS_DIR: ${place} cannot be read: ${String(error)}`])
  })
}

const jobService = (config: Config, environment: Environment, log: Logger): JobService =>
  new JobService({
    databaseUrl: config.DATABASE_URL,
    jobsDirectory: config.JOBS_DIR,
    datasetsDirectory: config.DATASETS_DIR,
    dataLimitBytes: config.JOB_DATA_LIMIT,
    maxQueued: config.JOB_MAX_QUEUED,
    retention: { seconds: config.JOB_RETENTION, jobs: config.JOB_RETENTION_JOBS },
    bases: jobBases(config),
    workers: config.JOB_WORKERS,
    deviceIds: config.JOB_DEVICE_IDS ?? [],
    // A worker answers nobody, so it is told no keys.
    environment: { ...environment, API_KEYS: undefined, ADMIN_KEYS: undefined },
    program: { file: process.argv[1] ?? '', execArgv: process.execArgv },
    log,
  })

interface Started {
  readonly engine: Engine
  readonly info: ServiceInfo
  readonly chatTemplate: ChatTemplate | null
  readonly base: BaseModel
}

async function startEngine(config: Config, log: Logger): Promise<Started> {
  const directory = await baseDirectory(config.BASE_MODEL, bundled.bases)
  const [base, tokenizer] = [await readBaseModel(directory), await readTokenizer(directory)]
  // Before the model is loaded: a broken one is known at once.
  const chatTemplate = await readChatTemplate(directory, config.CHAT_TEMPLATE)
  const { made: engine, choice } = await onDevice(config.DEVICE, (device) =>
    Engine.create({ base, tokenizer, device, ...engineSettings(config) }),
  )
  const { kind: device, reason, failure } = choice
  const cuda = failure instanceof Error ? failure.message : undefined
  log.info({ base: base.name, digest: base.digest, device, reason, cuda }, 'base model loaded')
  return { engine, info: serviceInfo(config, base, choice), chatTemplate, base }
}

/** The engine's options by the environment's names; what is not set is the engine's to decide. */
function engineSettings(config: Config) {
  return {
    deviceId: config.DEVICE_ID,
    cacheDtype: config.KV_CACHE_DTYPE === 'auto' ? undefined : config.KV_CACHE_DTYPE,
    maxBatchSize: config.MAX_BATCH_SIZE,
    maxWaiting: config.MAX_WAITING_REQUESTS,
    maxWaitingTokens: config.MAX_WAITING_TOKENS,
    prefillChunk: config.PREFILL_CHUNK,
    prefixCacheBytes: config.PREFIX_CACHE_BYTES,
    adapterMemoryBytes: config.ADAPTER_MEMORY_BYTES,
    maxRankRows: config.MAX_RANK_ROWS,
    maxBackgroundSlots: config.EVALUATION_SLOTS,
    requestTimeoutMs: config.REQUEST_TIMEOUT * 1000,
    defaultAdapter: config.DEFAULT_ADAPTER ?? 'e2e',
    policies: config.RANK_POLICIES ?? {},
    pins: config.ADAPTER_PINS ?? new Map(),
    selection: {
      canary: config.CANARY,
      pressure:
        config.PRESSURE_RANK === undefined
          ? undefined
          : { maxRank: config.PRESSURE_RANK, waiting: config.PRESSURE_WAITING },
      shadowShare: config.SHADOW_SHARE,
    },
    ...(config.INTRA_OP_THREADS !== undefined && { intraOpNumThreads: config.INTRA_OP_THREADS }),
    ...(config.GPU_MEM_LIMIT !== undefined && { gpuMemLimitBytes: config.GPU_MEM_LIMIT }),
  }
}

const evaluationLimits = (config: Config) => ({
  maxExamples: config.EVALUATION_MAX_EXAMPLES,
  maxGenerations: config.EVALUATION_MAX_GENERATIONS,
  maxReferences: config.EVALUATION_MAX_REFERENCES,
  maxRunning: config.EVALUATION_MAX_RUNNING,
  concurrency: config.EVALUATION_SLOTS,
})

const providers = { cpu: 'CPUExecutionProvider', cuda: 'CUDAExecutionProvider' } as const

function serviceInfo(config: Config, base: BaseModel, choice: DeviceChoice): ServiceInfo {
  const { name, digest, config: model, quantization } = base
  return {
    version: packageVersion(),
    versions: { node: process.versions.node, onnxruntime: NativeRuntime.open().version },
    baseModel: {
      name,
      digest,
      architecture: model.architecture,
      positions: model.positions,
      vocabulary: model.vocabSize,
      quantization: quantization === null ? 'none' : formatName(quantization),
    },
    device: { kind: choice.kind, provider: providers[choice.kind], reason: choice.reason },
    limits: {
      max_batch_size: config.MAX_BATCH_SIZE,
      max_rank_rows: config.MAX_RANK_ROWS,
      max_waiting_requests: config.MAX_WAITING_REQUESTS,
      max_waiting_tokens: config.MAX_WAITING_TOKENS,
      adapter_memory_bytes: config.ADAPTER_MEMORY_BYTES,
      prefix_cache_bytes: devices[choice.kind].movesSlots ? config.PREFIX_CACHE_BYTES : 0,
      max_total_tokens: model.positions + 1,
      max_evaluation_examples: config.EVALUATION_MAX_EXAMPLES,
      max_evaluation_generations: config.EVALUATION_MAX_GENERATIONS,
      max_evaluation_references: config.EVALUATION_MAX_REFERENCES,
      max_evaluations: config.EVALUATION_MAX_RUNNING,
      max_evaluation_slots: config.EVALUATION_SLOTS,
      body_limit_bytes: config.BODY_LIMIT,
      job_data_limit_bytes: config.JOB_DATA_LIMIT,
      max_queued_jobs: config.JOB_MAX_QUEUED,
      request_timeout_seconds: config.REQUEST_TIMEOUT,
    },
  }
}

type App = Awaited<ReturnType<typeof buildApp>>

/** Finishes what runs on the first signal; a second one, or too long a wait, ends the process at once. */
function stopOnSignal(stop: () => Promise<void>, delay: number, log: Logger): void {
  const logger = { error: (reason: unknown) => log.error({ err: reason }, 'stopped at once') }
  closeWithGrace({ delay, logger, skip: ['beforeExit'] }, async ({ signal, err }) => {
    if (err) log.fatal({ err }, 'stopping after a bug')
    else log.info({ signal }, 'stopping: running requests are finished first')
    await stop()
    log.info('stopped')
  })
}

/** Why an address cannot be listened on, by the system's code. */
const listenFailures: Readonly<Record<string, (config: Config) => string>> = {
  EADDRINUSE: ({ PORT, HOST }) => `PORT: ${PORT} is already in use on ${HOST}`,
  EACCES: ({ PORT }) => `PORT: ${PORT} may not be listened on by this user`,
  EADDRNOTAVAIL: ({ HOST }) => `HOST: ${HOST} is no address of this machine`,
  ENOTFOUND: ({ HOST }) => `HOST: ${HOST} is not known`,
}

async function listen(app: App, config: Config): Promise<void> {
  try {
    await app.listen({
      port: config.PORT,
      host: config.HOST,
      listenTextResolver: (address) => `listening at ${address}`,
    })
  } catch (error) {
    const reason = listenFailures[(error as NodeJS.ErrnoException).code ?? '']
    throw reason === undefined ? error : errors.configurationInvalid([reason(config)])
  }
}
