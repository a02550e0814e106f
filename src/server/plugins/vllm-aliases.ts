/** The gauges that Kubernetes inference gateways and existing dashboards read, under vLLM's names. */
import { Gauge, type Registry } from 'prom-client'
import type { Serving } from '../serving.ts'

export function addVllmAliases(registry: Registry, engine: Serving): void {
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
}
