/** The gauges that Kubernetes inference gateways and existing dashboards read, under vLLM's names. */
import { Counter, Gauge, type Registry } from 'prom-client'
import type { ServiceInfo, Serving } from '../serving.ts'

/** Gauges carry vLLM's labels too, by which its dashboards select. */
export function addVllmAliases(registry: Registry, engine: Serving, { baseModel, limits }: ServiceInfo): void {
  const registers = [registry]
  const labels = { model_name: baseModel.name, engine: '0' }
  const slots = limits.max_batch_size ?? 0
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name: `vllm:${name}`,
      ...{ help, registers, labelNames: Object.keys(labels) },
      collect() {
        this.set(labels, read())
      },
    })
  gauge('num_requests_running', 'Same as dylora_requests_running', () => engine.stats.running)
  gauge('num_requests_waiting', 'Same as dylora_requests_waiting', () => engine.stats.waiting)
  gauge('kv_cache_usage_perc', 'Same as dylora_kv_cache_usage_ratio', () => engine.stats.kvCacheUsage)
  const counter = (name: string, help: string, read: () => number | undefined) =>
    new Counter({
      name: `vllm:${name}`,
      ...{ help, registers, labelNames: Object.keys(labels) },
      collect() {
        this.reset()
        this.inc(labels, read() ?? 0)
      },
    })
  counter(
    'prefix_cache_queries_total',
    'Same as dylora_prefix_cache_queries_total',
    () => engine.stats.prefixCache?.queries,
  )
  counter('prefix_cache_hits_total', 'Same as dylora_prefix_cache_hits_total', () => engine.stats.prefixCache?.hits)
  const blocks = { block_size: baseModel.positions, num_gpu_blocks: slots }
  const labelNames = [...Object.keys(labels), ...Object.keys(blocks)]
  const help = 'The cache: its blocks are the slots of requests, with the positions of each'
  new Gauge({ name: 'vllm:cache_config_info', help, registers, labelNames }).set({ ...labels, ...blocks }, 1)
  // Each request of a batch may have an adapter of its own.
  addAdapters(registry, engine, slots)
}

/** Names are joined by commas, and the value is when that was so, as readers of this gauge expect. */
function addAdapters(registry: Registry, engine: Serving, maxAdapters: number): void {
  new Gauge({
    name: 'vllm:lora_requests_info',
    help: 'Adapters of running and waiting requests',
    labelNames: ['max_lora', 'running_lora_adapters', 'waiting_lora_adapters'],
    registers: [registry],
    collect() {
      this.reset()
      const { runningAdapters, waitingAdapters } = engine.stats
      const labels = {
        max_lora: maxAdapters,
        running_lora_adapters: runningAdapters.join(','),
        waiting_lora_adapters: waitingAdapters.join(','),
      }
      this.set(labels, Date.now() / 1000)
    },
  })
}
