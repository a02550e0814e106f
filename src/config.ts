/** The environment, checked once: every setting with its default and meaning, and all mistakes reported together. */
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { type HubId, parseHubId } from './dylora/hub/hub-id.ts'
import { parseVersion } from './dylora/store/versions.ts'
import { errors } from './errors.ts'

const packageRoot = new URL('../', import.meta.url)
const inPackage = (path: string): string => fileURLToPath(new URL(path, packageRoot))

/** Where the bundled models and the built page live, whatever the working directory is. */
export const bundled = {
  bases: inPackage('models/base'),
  adapters: inPackage('models/adapters'),
  page: inPackage('dist/page'),
  jobs: inPackage('models/work/jobs'),
  cache: inPackage('models/work/cache'),
}

const wholeNumber = (min: number, max: number) =>
  z
    .string()
    .transform((text) => (/^\d{1,15}$/.test(text) ? Number(text) : Number.NaN))
    .refine((value) => value >= min && value <= max, { error: `expected a whole number from ${min} to ${max}` })

const seconds = (max: number) =>
  z
    .string()
    .transform((text) => (/^\d{1,9}(\.\d+)?$/.test(text) ? Number(text) : Number.NaN))
    .refine((value) => value > 0 && value <= max, { error: `expected seconds, above 0 and at most ${max}` })

const text = () => z.string()

const share = (text: string): number => (/^(0|1|0?\.\d+|1\.0+)$/.test(text) ? Number(text) : Number.NaN)

/** `e2e=e2e-next:0.1`: the share comes last, since a version may hold colons. */
function canaryOf(text: string) {
  const [, adapter = '', canary = '', part = ''] = /^([^=]+)=(.+):([^:]+)$/.exec(text) ?? []
  return { adapter, canary, share: share(part) }
}

/** By the name that each stands for. */
function pinsOf(text: string, context: z.RefinementCtx): ReadonlyMap<string, string> {
  const pins = text.split(',').map((pin) => pin.trim())
  const found = pins.map((pin) => [parseVersion(pin)?.name ?? '', pin] as const)
  if (found.some(([name]) => name === '') || new Set(found.map(([name]) => name)).size < pins.length) {
    context.addIssue({ code: 'custom', message: 'expected one <name>@<8 to 64 digits of its digest> for each adapter' })
    return z.NEVER
  }
  return new Map(found)
}

/** `e2e=org/name@revision`, separated by commas. */
function hubAdaptersOf(text: string, context: z.RefinementCtx): ReadonlyMap<string, HubId> {
  const found = new Map<string, HubId>()
  for (const entry of text.split(',')) {
    const [, name = '', id = ''] = /^\s*([^=\s]+)=(\S+)\s*$/.exec(entry) ?? []
    const hubId = parseHubId(id)
    if (!/^[A-Za-z0-9][\w.-]*$/.test(name) || hubId === null || found.has(name)) {
      context.addIssue({
        code: 'custom',
        message: 'expected one <name>=<org>/<repository>[@revision] for each adapter',
      })
      return z.NEVER
    }
    found.set(name, hubId)
  }
  return found
}

const RankPolicies = z.record(
  z.string(),
  z
    .strictObject({
      default_rank: z.union([z.int().min(0), z.enum(['max', 'auto'])]).optional(),
      max_rank: z.int().min(1).optional(),
    })
    .transform(({ default_rank, max_rank }) => ({
      ...(default_rank !== undefined && { defaultRank: default_rank }),
      ...(max_rank !== undefined && { maxRank: max_rank }),
    })),
)

/** JSON by adapter name. */
function rankPoliciesOf(text: string, context: z.RefinementCtx) {
  try {
    return RankPolicies.parse(JSON.parse(text))
  } catch {
    const message = 'expected JSON such as {"e2e": {"default_rank": "auto", "max_rank": 4}}'
    context.addIssue({ code: 'custom', message })
    return z.NEVER
  }
}

const flag = () => z.stringbool({ error: 'expected true or false' })

/** The settings, in the order in which the README lists them. */
const Environment = z.object({
  PORT: wholeNumber(0, 65535).default(8080).describe('Port to listen on; 0 takes any free one'),
  HOST: text().default('127.0.0.1').describe('Address to listen on; 0.0.0.0 for all'),
  AUTH: z
    .enum(['auto', 'on', 'off'], { error: 'expected auto, on or off' })
    .default('auto')
    .describe(
      'auto asks for keys where some are given, and refuses to start without where HOST is reached from elsewhere',
    ),
  API_KEYS: text().optional().describe('Keys that requests may come with, separated by commas; `name=key` names one'),
  ADMIN_KEYS: text().optional().describe('Keys that may also load, unload and train'),
  API_KEYS_FILE: text()
    .optional()
    .describe('File of hashed keys, made by `dylora keys add`; a change is taken while running'),
  KEY_REQUESTS_PER_MINUTE: wholeNumber(0, 1e9)
    .default(0)
    .describe('Requests of one key (or address) in a minute; 0 is no limit'),
  KEY_CONCURRENCY: wholeNumber(0, 1e6).default(0).describe('Requests of one key (or address) at once; 0 is no limit'),
  BASE_MODEL: text()
    .optional()
    .describe('Base model directory, or hub id org/name@revision; by default the only one in models/base'),
  CHAT_TEMPLATE: text()
    .optional()
    .describe('Jinja file that makes a prompt of chat messages; by default the one that the base model has'),
  ADAPTERS_DIR: text()
    .default(bundled.adapters)
    .describe('Directory of adapter directories, or s3://<bucket>/<prefix>; watched for changes'),
  ADAPTER_PINS: text()
    .transform(pinsOf)
    .optional()
    .describe('Adapters that stay at one version whatever is published: e2e@0a1b2c3d4e5f, separated by commas'),
  ADAPTER_KEEP_VERSIONS: wholeNumber(0, 1000)
    .default(2)
    .describe('Versions of an adapter that remain beside the one that was published last'),
  S3_ENDPOINT: text()
    .optional()
    .describe("Address of an S3-compatible service that is not Amazon's; credentials are those of the AWS environment"),
  S3_REGION: text().optional().describe('Region of the bucket; by default that of the AWS environment'),
  HUB_ADAPTERS: text()
    .transform(hubAdaptersOf)
    .optional()
    .describe('Adapters put into the store from the hub at the start: name=org/name@revision, separated by commas'),
  HF_TOKEN: text().optional().describe('Token for what is not public on the hub'),
  HF_ENDPOINT: text().optional().describe('Address of another hub than https://huggingface.co'),
  CACHE_DIR: text().default(bundled.cache).describe('Where copies of what is elsewhere are kept'),
  DEFAULT_ADAPTER: text()
    .optional()
    .describe('Adapter of a request that names none; by default e2e, else the only one there is'),
  DEVICE: z
    .enum(['auto', 'cpu', 'cuda'], { error: 'expected auto, cpu or cuda' })
    .default('auto')
    .describe('auto takes CUDA when it is really there; cuda fails at start when it is not'),
  DEVICE_ID: wholeNumber(0, 255).default(0).describe('Which CUDA device'),
  GPU_MEM_LIMIT: wholeNumber(1, 1e15)
    .optional()
    .describe('Bytes of device memory that may be taken; no limit by default'),
  INTRA_OP_THREADS: wholeNumber(1, 1024).optional().describe('Threads of one step; by default one per physical core'),
  KV_CACHE_DTYPE: z
    .enum(['auto', 'float32', 'float16'], { error: 'expected auto, float32 or float16' })
    .default('auto')
    .describe(
      'Keys and values: auto is float32 on CPU, which is exact, and float16 on CUDA; float16 takes half the memory',
    ),
  MAX_BATCH_SIZE: wholeNumber(1, 1024)
    .default(16)
    .describe('Rows that run together: a request has one, or one for each beam or text'),
  MAX_RANK_ROWS: wholeNumber(1, 65536).default(256).describe('Sum of the ranks that run together, each adapter once'),
  ADAPTER_MEMORY_BYTES: wholeNumber(0, 1e13)
    .default(2_147_483_648)
    .describe(
      'Memory for the factors of adapters; those used longest ago leave it and come back when they are asked for',
    ),
  MAX_WAITING_REQUESTS: wholeNumber(0, 1e6)
    .default(128)
    .describe('Requests that may wait; one more is answered with 429, unless its adapter has none waiting'),
  MAX_WAITING_TOKENS: wholeNumber(1, 1e9).default(65536).describe('Prompt tokens that may wait'),
  PREFILL_CHUNK: wholeNumber(1, 65536)
    .default(64)
    .describe('Prompt tokens that one step takes beside the running requests'),
  PREFIX_CACHE_BYTES: wholeNumber(0, 1e13)
    .default(134_217_728)
    .describe('Memory for prompts that may come again, so that a beginning is computed once; 0 keeps none. On CPU'),
  REQUEST_TIMEOUT: seconds(86400).default(300).describe('Seconds after which a request is given up'),
  EVALUATION_MAX_EXAMPLES: wholeNumber(1, 1e6).default(256).describe('Examples of one evaluation'),
  EVALUATION_MAX_GENERATIONS: wholeNumber(1, 1e7).default(1024).describe('Examples times ranks of one evaluation'),
  EVALUATION_MAX_REFERENCES: wholeNumber(1, 1e4).default(64).describe('References of one example'),
  EVALUATION_MAX_RUNNING: wholeNumber(1, 1000)
    .default(1)
    .describe('Evaluations at once; one more is answered with 429'),
  EVALUATION_SLOTS: wholeNumber(1, 1024)
    .default(4)
    .describe('Rows of the batch that evaluations may have, while no live request needs them'),
  STEP_TIMEOUT: seconds(86400)
    .default(120)
    .describe('Seconds without a step, while there is work, after which the process ends to be started anew'),
  DATABASE_URL: text()
    .optional()
    .describe('PostgreSQL of the job queue; without one it is embedded, and the server starts workers'),
  JOBS_DIR: text().default(bundled.jobs).describe('Where jobs keep data and checkpoints, shared with every worker'),
  JOB_WORKERS: wholeNumber(1, 64).default(1).describe('Worker processes that the server starts for the embedded queue'),
  JOB_DATA_LIMIT: wholeNumber(1024, 1e12).default(67108864).describe('Bytes of one uploaded file of a job'),
  JOB_MAX_QUEUED: wholeNumber(1, 1e6).default(100).describe('Jobs that may wait or run; one more is answered with 429'),
  JOB_RETENTION: seconds(1e9)
    .default(604800)
    .describe('Seconds for which data, checkpoints and events of an ended job are kept, so that it can be tried again'),
  JOB_RETENTION_JOBS: wholeNumber(0, 1e6)
    .default(1000)
    .describe('Ended jobs of which these are kept, the last that ended'),
  DATASETS_DIR: text()
    .optional()
    .describe('Directory of data sets that jobs may name: <name>/train.jsonl and valid.jsonl'),
  JOB_DEVICE_IDS: text()
    .transform((text) => text.split(',').map((id) => (/^\d{1,3}$/.test(id.trim()) ? Number(id) : Number.NaN)))
    .refine((ids) => ids.every((id) => id <= 255), { error: 'expected ids of devices, separated by commas' })
    .optional()
    .describe('CUDA devices of the workers that the server starts, one each in turn: 1,2,3; by default DEVICE_ID'),
  WORKER_CONCURRENCY: wholeNumber(1, 64).default(1).describe('Jobs that a worker runs at once'),
  WORKER_THREADS: wholeNumber(1, 1024).optional().describe('Threads of a training; all cores by default'),
  SHUTDOWN_TIMEOUT: seconds(3600).default(30).describe('Seconds that running requests get to finish after SIGTERM'),
  MAX_CONNECTIONS: wholeNumber(1, 1e6).default(2048).describe('Open connections; one more is closed at once'),
  BODY_LIMIT: wholeNumber(1024, 1e9).default(1048576).describe('Largest request body in bytes'),
  LOG_LEVEL: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], {
      error: 'expected fatal, error, warn, info, debug, trace or silent',
    })
    .default('info')
    .describe('Least severe line that is logged'),
  RANK_POLICIES: text()
    .transform(rankPoliciesOf)
    .optional()
    .describe('By adapter, as JSON: default_rank of requests that name none, and max_rank, above which none is served'),
  PRESSURE_RANK: wholeNumber(0, 65536)
    .optional()
    .describe('The highest rank that auto takes while PRESSURE_WAITING requests wait; off by default'),
  PRESSURE_WAITING: wholeNumber(1, 1e6).default(8).describe('Waiting requests from which on PRESSURE_RANK holds'),
  CANARY: text()
    .transform(canaryOf)
    .refine(({ share }) => share >= 0 && share <= 1, { error: 'expected <adapter>=<canary>:<share from 0 to 1>' })
    .optional()
    .describe('A share of the requests for an adapter is answered by another: e2e=e2e-next:0.1; off by default'),
  SHADOW_SHARE: text()
    .transform(share)
    .refine((value) => value >= 0 && value <= 1, { error: 'expected a share from 0 to 1' })
    .default(0)
    .describe(
      'Share of the greedy requests that are scored again at the highest rank, when there is nothing else to do',
    ),
  ALLOW_RUNTIME_LORA_UPDATING: flag()
    .default(false)
    .describe('Let /v1/load_lora_adapter and unload_lora_adapter load from ADAPTERS_DIR and unload'),
  VLLM_METRICS: flag().default(false).describe("Also give the gauges that inference gateways read, under vLLM's names"),
})

export type Config = z.infer<typeof Environment>

/**
 * Reads the settings. An empty variable counts as unset.
 * @throws configuration_invalid that names every mistake, one a line
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''))
  const result = Environment.safeParse(given)
  if (result.success) return result.data
  throw errors.configurationInvalid(
    result.error.issues.map(
      ({ path, message }) => `${path.join('.')}: ${message}, got '${given[String(path[0])] ?? ''}'`,
    ),
  )
}

export interface Setting {
  readonly name: string
  readonly default: string
  readonly description: string
}

/** The table of settings, as the README shows it. */
export function settings(): Setting[] {
  return Object.entries(Environment.shape).map(([name, schema]) => ({
    name,
    default: schema instanceof z.ZodDefault ? String(schema.def.defaultValue).replace(inPackage('.'), '') : '',
    description: schema.description ?? '',
  }))
}
