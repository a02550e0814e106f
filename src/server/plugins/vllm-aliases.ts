/** The gauges that Kubernetes inference gateways and existing dashboards read, under vLLM's names. */
import { Gauge, type Registry } from 'prom-client'
import type { Serving } from '../serving.ts'

export function addVllmAliases(registry: Registry, engine: Serving, maxAdapters: number): void {
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name: `vllm:${name}`,
      help,
      registers: [registry],
      collect() {
        this.set(read())
      },
    })
  gauge('num_requests_running', 'Same as dylora_requests_running', () => engine.stats.running)
  gauge('num_requests_waiting', 'Same as dylora_requests_waiting', () => engine.stats.waiting)
  gauge('kv_cache_usage_perc', 'Same as dylora_kv_cache_usage_ratio', () => engine.stats.kvCacheUsage)
  addAdapters(registry, engine, maxAdapters)
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
