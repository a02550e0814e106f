/** Rules and dashboard against a live server: every name is one of its metrics, and every query gives data. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { parse, stringify } from 'yaml'
import { JobSpec } from '../../src/jobs/job.ts'
import type { JobQueue } from '../../src/jobs/job-queue.ts'
import { inputs, testApp } from '../fixtures/app.ts'
import { inRepository, textOf, yamlOf } from '../fixtures/deployment.ts'
import { jobService } from '../fixtures/job-service.ts'

interface Rules {
  readonly groups: readonly { readonly rules: readonly { record?: string; alert?: string; expr: string }[] }[]
}

interface Panel {
  readonly title: string
  readonly type: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly datasource?: { readonly uid: string }
  readonly targets?: readonly { readonly expr: string }[]
}

const ruleFiles = ['recording', 'alerts'].map((name) => `docker/prometheus/rules/${name}.yml`)
const rules = ruleFiles.flatMap((path) => (yamlOf(path) as Rules).groups).flatMap((group) => group.rules)
const dashboard = JSON.parse(textOf('docker/grafana/dashboards/dylora.json')) as {
  readonly panels: readonly Panel[]
  readonly templating: { readonly list: readonly { readonly name: string }[] }
}
const queries = dashboard.panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })))

const isInstalled = (program: string) => spawnSync(program, ['--version']).error === undefined

/** Names of metrics and of recorded rules in an expression. */
const namesIn = (expr: string): string[] =>
  [...expr.replaceAll(/"[^"]*"/g, '').matchAll(/[a-zA-Z_][\w:]*/g)]
    .map(([name]) => name)
    .filter((name) => /^(dylora|nodejs|process|vllm)_|:/.test(name))

/** Metrics that a histogram gives are its buckets, its sum and its count. */
function metricsOf(text: string): Set<string> {
  const types = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)]
  return new Set(
    types.flatMap(([, name = '', type]) =>
      type === 'histogram' ? ['bucket', 'sum', 'count'].map((suffix) => `${name}_${suffix}`) : [name],
    ),
  )
}

t.test('rules and dashboard name only what the server gives and what is recorded', async (t) => {
  const { app } = await testApp(t, { app: { jobs: await jobService(t) } })
  const known = metricsOf((await app.inject('/metrics')).body)
  for (const { record } of rules) if (record !== undefined) known.add(record)
  for (const { expr } of [...rules, ...queries]) {
    t.same(
      namesIn(expr).filter((name) => !known.has(name)),
      [],
      expr,
    )
  }
  t.ok(namesIn('rate(dylora_no_such_thing_total[1m])').some((name) => !known.has(name)))
})

t.test('shows latency and quality by rank, throughput, queue, adapters and training, side by side', async (t) => {
  const rows = dashboard.panels.filter(({ type }) => type === 'row').map(({ title }) => title)
  t.same(rows, ['Now', 'Latency by rank', 'Quality by rank', 'Throughput', 'Queue', 'Adapters', 'Training'])
  const places = dashboard.panels.map(({ gridPos }) => gridPos)
  for (const [i, a] of places.entries()) {
    t.ok(a.x + a.w <= 24)
    const overlaps = places
      .slice(i + 1)
      .filter((b) => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h)
    t.same(overlaps, [], dashboard.panels[i]?.title ?? '')
  }
  const { datasources } = yamlOf('docker/grafana/provisioning/datasources/prometheus.yaml') as {
    datasources: { uid: string }[]
  }
  const uids = dashboard.panels.flatMap(({ datasource }) => datasource?.uid ?? [])
  t.same([...new Set(uids)], [datasources[0]?.uid])
})

if (isInstalled('promtool')) {
  t.test('promtool accepts the configuration and the rules, and their tests pass', async (t) => {
    const promtool = (...words: string[]) => spawnSync('promtool', words, { encoding: 'utf8', cwd: inRepository('.') })
    t.match(promtool('check', 'config', '--syntax-only', 'docker/prometheus/prometheus.yml'), { status: 0 })
    t.match(promtool('check', 'rules', ...ruleFiles), { status: 0 })
    const { status, stdout, stderr } = promtool('test', 'rules', 'docker/prometheus/rules-test.yml')
    t.equal(status, 0, `${stdout}${stderr}`)
    const tested = textOf('docker/prometheus/rules-test.yml')
    for (const { alert } of rules) if (alert !== undefined) t.match(tested, `alertname: ${alert}`, alert)
  })
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** The configuration of the compose file, with this server as its target and no time to lose. */
async function startPrometheus(t: Test, target: string): Promise<string> {
  const directory = t.testdir({ data: {} })
  const config = parse(textOf('docker/prometheus/prometheus.yml'))
  config.global = { scrape_interval: '1s', evaluation_interval: '1s' }
  config.rule_files = ruleFiles.map(inRepository)
  config.scrape_configs = [{ job_name: config.scrape_configs[0].job_name, static_configs: [{ targets: [target] }] }]
  writeFileSync(join(directory, 'prometheus.yml'), stringify(config))
  const port = await freePort()
  const child: ChildProcess = spawn(
    'prometheus',
    [
      ...['--config.file', join(directory, 'prometheus.yml'), '--storage.tsdb.path', join(directory, 'data')],
      ...['--web.listen-address', `127.0.0.1:${port}`, '--log.level', 'error'],
    ],
    { stdio: 'ignore' },
  )
  const gone = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await gone
  })
  return `http://127.0.0.1:${port}/api/v1`
}

interface Sample {
  readonly metric: Readonly<Record<string, string>>
  readonly value: readonly [number, string]
}

async function ask(api: string, expr: string): Promise<readonly Sample[]> {
  const reply = await fetch(`${api}/query?query=${encodeURIComponent(expr)}`)
  const { status, data, error } = (await reply.json()) as {
    status: string
    data: { result: Sample[] }
    error?: string
  }
  if (status !== 'success') throw new Error(`${expr}: ${error}`)
  return data.result
}

/** Every kind of event that a panel tells of, once. */
async function traffic({ post, engine }: Awaited<ReturnType<typeof testApp>>): Promise<void> {
  const parameters = { max_new_tokens: 4 }
  await Promise.all([1, 2, 8, 'auto'].map((rank) => post(`/generate?rank=${rank}`, { inputs, parameters })))
  await post('/generate?rank=99', { inputs, parameters })
  await post('/evaluate?rank=1', {
    examples: [{ inputs, references: ['x'] }],
    parameters: { max_new_tokens: 2, metrics: ['bleu'] },
  })
  engine.registry.refuse('broken', new Error('it is a test'))
}

/** Every job dies once with its worker, and then trains ten steps. */
const train = (queue: JobQueue) =>
  queue.work('worker', 2, async (claim) => {
    if (claim.attempt === 1) throw new Error('the worker dies')
    await queue.attempts.tell(claim, 'step', { step: 10 }, { steps: 10, tokens: 640, seconds: 0.5 })
    await queue.attempts.beat(claim, 3)
    await queue.attempts.finish(claim, 'succeeded', null, 'sha256:0')
  })

if (isInstalled('prometheus')) {
  t.test('a real Prometheus scrapes the server, and every query and recorded rule gives data', async (t) => {
    const canary = { adapter: 'e2e', canary: 'other', share: 0.5 }
    const jobs = await jobService(t)
    const tested = await testApp(t, { engine: { selection: { canary, shadowShare: 1 } }, app: { jobs } })
    await tested.app.listen({ port: 0, host: '127.0.0.1' })
    const { port } = tested.app.server.address() as AddressInfo
    const api = await startPrometheus(t, `127.0.0.1:${port}`)
    const query = (expr: string) => {
      const filled = expr.replaceAll('$__rate_interval', '1m').replaceAll('$__range', '1m').replaceAll('$adapter', '.*')
      return ask(api, filled).catch(() => [])
    }
    const queue = await jobs.queue()
    await train(queue)
    const empty = new Set([...queries.map(({ expr }) => expr), ...rules.flatMap(({ record }) => record ?? [])])
    for (let i = 0; empty.size > 0 && i < 60; i++) {
      await traffic(tested)
      await queue.submit(randomUUID(), JobSpec.parse({ adapter: 'mine' }), 1000)
      for (const expr of empty) if ((await query(expr)).length > 0) empty.delete(expr)
      await wait(250)
    }
    t.same([...empty], [])
    t.match(await query('up'), [{ metric: { job: 'dylora' }, value: [Number, '1'] }])
    const [first] = await query('dylora_adapter_rank_quality{rank="4",split="validation"}')
    t.equal(first?.value[1], '59.5')
    const [ratio] = await query('adapter_rank:dylora_adapter_rank_quality:ratio_of_best{rank="4"}')
    t.equal(Number(ratio?.value[1]).toFixed(4), (59.5 / 60).toFixed(4))
    for (const { alert, expr } of rules) {
      // They are among the traffic.
      if (alert === undefined || ['DyloraAdapterRefused', 'DyloraWorkersDie'].includes(alert)) continue
      t.same(await ask(api, expr), [], `${alert}: all is well`)
    }
  })
}
