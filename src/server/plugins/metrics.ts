/** `GET /metrics`: what the engine announces, counted for Prometheus. */
import fp from 'fastify-plugin'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { z } from 'zod'
import type { Evaluations } from '../evaluations.ts'
import type { JobService } from '../job-service.ts'
import { type Listeners, listen, type ServiceInfo, type Serving } from '../serving.ts'
import type { ShadowEvaluation } from '../shadow-evaluation.ts'
import { countJobs } from './job-metrics.ts'
import { countSelection } from './selection-metrics.ts'
import { addVllmAliases } from './vllm-aliases.ts'

export interface MetricsOptions {
  readonly engine: Serving
  readonly evaluations: Evaluations
  readonly shadows: ShadowEvaluation
  readonly info: ServiceInfo
  /** Null where this server trains nothing. */
  readonly jobs: JobService | null
  /** Also give the gauges that inference gateways read, under vLLM's names. */
  readonly vllmAliases: boolean
}

/** The label of requests to the bare base model. */
const noAdapter = 'base'

/** From 1 ms, since a small model answers in a few. */
const requestBuckets = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
]
const tokenBuckets = [
  0.001, 0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.2, 0.4, 0.8, 2,
]
const evaluationBuckets = [0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600]
const countBuckets = [1, 2, 4, 8, 16, 32, 64, 128, 256]

/** Every metric that is counted from events, by the name that follows `dylora_`. */
function countersOf(registry: Registry) {
  const registers = [registry]
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Counter({ name: `dylora_${name}`, help, labelNames, registers })
  const histogram = <L extends string>(name: string, help: string, labelNames: readonly L[], buckets: number[]) =>
    new Histogram({ name: `dylora_${name}`, help, labelNames, buckets, registers })
  // biome-ignore format: reads as a table
  return {
    requests: counter('requests_total', 'Requests that ended, however they ended', ['adapter', 'rank', 'outcome', 'finish_reason']),
    rejected: counter('requests_rejected_total', 'Requests refused before they ran', ['reason']),
    promptTokens: counter('prompt_tokens_total', 'Prompt tokens of requests that ended', []),
    generationTokens: counter('generation_tokens_total', 'Generated tokens', ['adapter', 'rank']),
    rankDecisions: counter('rank_decisions_total', 'Rank asked for, rank taken, and why', ['requested', 'chosen', 'reason']),
    adapterLoadFailures: counter('adapter_load_failures_total', 'Adapters that were refused', ['reason']),
    requestDuration: histogram('request_duration_seconds', 'From arrival to the last token', ['rank'], requestBuckets),
    queueTime: histogram('queue_time_seconds', 'From arrival to the first step', [], requestBuckets),
    timeToFirstToken: histogram('time_to_first_token_seconds', 'From arrival to the first token', ['rank'], requestBuckets),
    interTokenLatency: histogram('inter_token_latency_seconds', 'Between two tokens of a request', ['rank'], tokenBuckets),
    batchSize: histogram('batch_size', 'Requests that share a step', [], countBuckets),
    batchDistinctRanks: histogram('batch_distinct_ranks', 'Different ranks that share a step', [], countBuckets),
    adapterLoadTime: histogram('adapter_load_seconds', 'From the files to serving, dry run included', [], requestBuckets),
  }
}

/** Evaluations are counted apart, so that they are in no number of live requests. */
function countEvaluations(registry: Registry, evaluations: Evaluations): void {
  const [registers, labelNames] = [[registry], ['adapter', 'rank']]
  const name = (rest: string) => `dylora_evaluation_${rest}`
  const requests = new Counter({
    ...{ name: name('requests_total'), help: 'Evaluations that ended, however they ended', registers },
    labelNames: ['outcome'],
  })
  const examples = new Counter({
    ...{ name: name('examples_total'), help: 'Examples answered, at each rank of an evaluation', registers },
    labelNames,
  })
  const tokens = new Counter({
    ...{ name: name('generation_tokens_total'), help: 'Tokens generated for evaluations', registers },
    labelNames,
  })
  const duration = new Histogram({
    ...{ name: name('duration_seconds'), help: 'From arrival to the scores', registers },
    buckets: evaluationBuckets,
  })
  stateGauge(registry, 'evaluation_requests_running', 'Evaluations under way', [], (set) =>
    set({}, evaluations.running),
  )
  evaluations.on('generated', ({ adapterId, rank, tokens: count }) => {
    const labels = { adapter: adapterId ?? noAdapter, rank }
    examples.inc(labels)
    tokens.inc(labels, count)
  })
  evaluations.on('finished', ({ outcome, durationMs }) => {
    requests.inc({ outcome })
    if (outcome === 'success') duration.observe(durationMs / 1000)
  })
}

type Counters = ReturnType<typeof countersOf>

/** A gauge that is read from the engine whenever it is scraped, so that it cannot drift. */
function stateGauge<L extends string>(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly L[],
  read: (set: (labels: Partial<Record<L, string | number>>, value: number) => void) => void,
): Gauge<L> {
  return new Gauge({
    name: `dylora_${name}`,
    help,
    labelNames,
    registers: [registry],
    collect() {
      this.reset()
      read((labels, value) => this.set(labels, value))
    },
  })
}

function addState(registry: Registry, engine: Serving, { version, versions, device }: ServiceInfo): void {
  const serving = () => engine.registry.list().flatMap(({ adapter }) => (adapter === null ? [] : [adapter]))
  stateGauge(registry, 'requests_running', 'Requests in the batch', [], (set) => set({}, engine.stats.running))
  stateGauge(registry, 'requests_waiting', 'Requests in the queue', [], (set) => set({}, engine.stats.waiting))
  stateGauge(registry, 'kv_cache_usage_ratio', 'Share of the cache that is taken', [], (set) =>
    set({}, engine.stats.kvCacheUsage),
  )
  stateGauge(registry, 'adapter_loaded', '1 for each adapter that serves', ['adapter', 'digest'], (set) => {
    for (const { name, digest } of serving()) set({ adapter: name, digest }, 1)
  })
  stateGauge(registry, 'adapter_bytes', 'Bytes of the factors', ['adapter'], (set) => {
    for (const adapter of serving()) set({ adapter: adapter.name }, 4 * adapter.parametersPerRank * adapter.maxRank)
  })
  const counted = (name: string, help: string, read: () => number | undefined) =>
    new Counter({
      ...{ name: `dylora_${name}_total`, help, registers: [registry] },
      collect() {
        this.reset()
        this.inc(read() ?? 0)
      },
    })
  counted(
    'prefix_cache_queries',
    'Prompt tokens that were looked for among known ones',
    () => engine.stats.prefixCache?.queries,
  )
  counted(
    'prefix_cache_hits',
    'Of these, tokens that were known and not computed again',
    () => engine.stats.prefixCache?.hits,
  )
  stateGauge(registry, 'prefix_cache_bytes', 'Memory of the prompts that are known', [], (set) =>
    set({}, engine.stats.prefixCache?.bytes ?? 0),
  )
  counted('adapter_reloads', 'Adapters whose factors came back into memory', () => engine.stats.residency.loads)
  counted('adapter_evictions', 'Adapters whose factors left the memory', () => engine.stats.residency.evictions)
  stateGauge(registry, 'adapters_resident', 'Adapters whose factors are in memory', [], (set) =>
    set({}, engine.stats.residency.resident),
  )
  stateGauge(registry, 'adapters_resident_bytes', 'Bytes of the factors that are in memory', [], (set) =>
    set({}, engine.stats.residency.bytes),
  )
  const qualityLabels = ['adapter', 'rank', 'metric', 'dataset', 'split', 'decoding'] as const
  stateGauge(registry, 'adapter_rank_quality', 'Measured quality that the adapter carries', qualityLabels, (set) => {
    for (const { name: adapter, quality } of serving()) {
      for (const { rank, metric, dataset, split, decoding, value } of quality)
        set({ adapter, rank, metric, dataset, split, ...(decoding !== undefined && { decoding }) }, value)
    }
  })
  stateGauge(registry, 'build_info', '1, with what runs as labels', ['version', 'runtime', 'node', 'device'], (set) =>
    set({ version, runtime: versions.onnxruntime ?? '', node: versions.node ?? '', device: device.kind }, 1),
  )
}

/** What each event counts. */
const listenersOf = (metrics: Counters): Listeners => ({
  finished: ({ served, outcome, finishReason, promptTokens, generatedTokens, timings }) => {
    const { rank } = served
    const adapter = served.adapterId ?? noAdapter
    metrics.requests.inc({ adapter, rank, outcome, finish_reason: finishReason ?? '' })
    metrics.promptTokens.inc(promptTokens)
    metrics.generationTokens.inc({ adapter, rank }, generatedTokens)
    metrics.requestDuration.observe({ rank }, timings.totalMs / 1000)
    metrics.queueTime.observe(timings.queueMs / 1000)
  },
  step: ({ batchSize, distinctRanks }) => {
    metrics.batchSize.observe(batchSize)
    metrics.batchDistinctRanks.observe(distinctRanks)
  },
  firstToken: ({ rank, ms }) => metrics.timeToFirstToken.observe({ rank }, ms / 1000),
  interToken: ({ rank, ms }) => metrics.interTokenLatency.observe({ rank }, ms / 1000),
  rejected: ({ reason }) => metrics.rejected.inc({ reason }),
  rankDecision: ({ requested, chosen, reason }) => metrics.rankDecisions.inc({ requested, chosen, reason }),
  adapterLoaded: ({ durationMs }) => metrics.adapterLoadTime.observe(durationMs / 1000),
  adapterRefused: ({ code }) => metrics.adapterLoadFailures.inc({ reason: code }),
})

const MetricName = z.string().max(200)

const MetricsQuery = z.object({
  name: z
    .union([MetricName, z.array(MetricName).max(100)])
    .optional()
    .describe('Only the metrics of these names, such as `dylora_batch_size`; may come several times. By default all'),
})

/** A name that no metric has gives nothing. */
async function textOf(registry: Registry, wanted: string | readonly string[] | undefined): Promise<string> {
  if (wanted === undefined) return registry.metrics()
  // By their own names: the registry would also find what every object has, such as valueOf.
  const names = new Set(registry.getMetricsAsArray().map(({ name }) => name))
  const known = [...new Set([wanted].flat())].filter((name) => names.has(name))
  const texts = await Promise.all(known.map((name) => registry.getSingleMetricAsString(name)))
  return texts.map((text) => `${text}\n`).join('\n')
}

/** The registry is the app's own, so that one process may build several. */
export const metrics = fp<MetricsOptions>(
  async (app, { engine, evaluations, shadows, info, jobs, vllmAliases }) => {
    const registry = new Registry()
    collectDefaultMetrics({ register: registry })
    addState(registry, engine, info)
    if (jobs !== null) countJobs(registry, jobs)
    countEvaluations(registry, evaluations)
    if (vllmAliases) addVllmAliases(registry, engine, info)
    const stops = [listen(engine, listenersOf(countersOf(registry))), countSelection(registry, engine, shadows)]
    app.addHook('onClose', async () => {
      for (const stop of stops) stop()
    })
    app.withTypeProvider<ZodTypeProvider>().get(
      '/metrics',
      {
        config: { open: true },
        schema: {
          operationId: 'metrics',
          summary: 'Everything counted, in the text format of Prometheus',
          tags: ['operation'],
          querystring: MetricsQuery,
          response: { 200: { description: 'Metrics', content: { 'text/plain': { schema: z.string() } } } },
        },
      },
      async ({ query: { name } }, reply) =>
        reply
          .type(registry.contentType)
          .serializer(String)
          .send(await textOf(registry, name)),
    )
  },
  { name: 'metrics' },
)
