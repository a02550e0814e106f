/** The compose file, checked against what of compose it uses: every key known, every name that is referred to there. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { z } from 'zod'
import { defaultOf, inRepository, knownSettings, textOf, yamlOf } from '../fixtures/deployment.ts'

const Service = z.strictObject({
  image: z.string().regex(/^[\w./-]+:[\w.-]+$/, 'expected a pinned image'),
  build: z.strictObject({ context: z.literal('..'), target: z.enum(['cpu', 'cuda']) }).optional(),
  command: z.array(z.string()).optional(),
  env_file: z.array(z.strictObject({ path: z.string(), required: z.literal(false) })).optional(),
  environment: z.record(z.string(), z.string()).optional(),
  ports: z
    .array(z.string().regex(/^127\.0\.0\.1:(\$\{PORT:-8080\}|\d+):\d+$/, 'expected a port of the loopback'))
    .optional(),
  volumes: z.array(z.string()).optional(),
  depends_on: z
    .union([
      z.array(z.string()),
      z.record(z.string(), z.strictObject({ condition: z.enum(['service_started', 'service_healthy']) })),
    ])
    .optional(),
  healthcheck: z
    .union([
      z.strictObject({ disable: z.literal(true) }),
      z.strictObject({
        test: z.array(z.string()),
        interval: z.string(),
        timeout: z.string(),
        retries: z.number(),
      }),
    ])
    .optional(),
  init: z.boolean().optional(),
  read_only: z.boolean().optional(),
  tmpfs: z.array(z.string()).optional(),
  cap_drop: z.array(z.literal('ALL')).optional(),
  security_opt: z.array(z.literal('no-new-privileges:true')).optional(),
  restart: z.literal('unless-stopped').optional(),
  stop_grace_period: z
    .string()
    .regex(/^\d+s$/)
    .optional(),
  networks: z.array(z.string()).optional(),
})

const Device = z.strictObject({
  driver: z.literal('nvidia'),
  device_ids: z.array(z.string()),
  capabilities: z.array(z.string()),
})

const Compose = z
  .object({
    name: z.string(),
    services: z.record(z.string(), Service),
    networks: z.record(z.string(), z.strictObject({ internal: z.boolean().optional() })),
    volumes: z.record(z.string(), z.strictObject({})),
  })
  .catchall(z.never())

const Gpu = z.strictObject({
  services: z.record(
    z.string(),
    Service.pick({ image: true, build: true, environment: true }).extend({
      deploy: z.strictObject({
        resources: z.strictObject({ reservations: z.strictObject({ devices: z.array(Device) }) }),
      }),
    }),
  ),
})

const raw = yamlOf('docker/compose.yaml') as Record<string, unknown>
const compose = Compose.parse(Object.fromEntries(Object.entries(raw).filter(([key]) => !key.startsWith('x-'))))
const services = Object.entries(compose.services)
const ours = services.filter(([, { image }]) => image.startsWith('dylora-serve:'))

t.test('has the server, two workers, the queue and the monitoring', async (t) => {
  t.same(Object.keys(compose.services), ['server', 'worker-1', 'worker-2', 'postgres', 'prometheus', 'grafana'])
})

t.test('volumes, networks and services that are named are there, and so are mounted files', async (t) => {
  for (const [name, { volumes = [], networks = [], depends_on = [] }] of services) {
    for (const volume of volumes) {
      const [source = ''] = volume.split(':')
      const there = source.startsWith('.')
        ? existsSync(inRepository(join('docker', source)))
        : source in compose.volumes
      t.ok(there, `${name}: ${volume}`)
    }
    t.same(
      networks.filter((network) => !(network in compose.networks)),
      [],
    )
    const wanted = Array.isArray(depends_on) ? depends_on : Object.keys(depends_on)
    t.same(
      wanted.filter((each) => !(each in compose.services)),
      [],
    )
  }
})

t.test('our own containers can write nowhere but to their volumes, and gain nothing', async (t) => {
  t.equal(ours.length, 3)
  for (const [name, service] of ours) {
    t.match(service, {
      init: true,
      read_only: true,
      tmpfs: ['/tmp'],
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
    })
    t.same(
      Object.keys(service.environment ?? {}).filter((each) => !knownSettings.has(each)),
      [],
      name,
    )
    const [command = 'serve'] = service.command ?? []
    t.ok(['serve', 'worker'].includes(command), `${command} is a command`)
    const grace = Number.parseInt(service.stop_grace_period ?? '0', 10)
    t.ok(grace > Number(defaultOf('SHUTDOWN_TIMEOUT')), 'killed only after the drain limit')
  }
})

t.test('the queue is reached by server and workers alone', async (t) => {
  t.equal(compose.networks.queue?.internal, true)
  const members = services.filter(([, { networks }]) => networks?.includes('queue')).map(([name]) => name)
  t.same(members, ['server', 'worker-1', 'worker-2', 'postgres'])
  t.equal(compose.services.postgres?.ports, undefined)
})

t.test('secrets come from the environment, and all of them are in the example', async (t) => {
  const text = textOf('docker/compose.yaml')
  const example = textOf('docker/.env.example')
  const required = new Set([...text.matchAll(/\$\{(\w+):\?/g)].map(([, name]) => name))
  t.ok(required.has('POSTGRES_PASSWORD') && required.has('GRAFANA_PASSWORD'))
  for (const name of required) t.match(example, new RegExp(`^${name}=$`, 'm'), `${name}, without a value`)
  for (const [, line = ''] of text.matchAll(/^(.*(?:PASSWORD|_KEY|KEYS|SECRET).*)$/gm))
    t.match(line, /\$\{\w+:\?/, line)
  t.match(textOf('.gitignore'), 'docker/.env')
})

t.test('any other setting may come from a file that git leaves out', async (t) => {
  const [file] = compose.services.server?.env_file ?? []
  t.match(textOf('.gitignore'), `docker/${file?.path}`)
  const example = textOf(`docker/${file?.path}.example`)
  const names = [...example.matchAll(/^# (\w+)=/gm)].map(([, name = '']) => name)
  t.ok(names.length > 0)
  t.same(
    names.filter((name) => !knownSettings.has(name)),
    [],
  )
})

t.test('the GPU file gives the server and each worker a device of its own, and nothing else', async (t) => {
  const gpu = Gpu.parse(yamlOf('docker/compose.gpu.yaml'))
  t.same(Object.keys(gpu.services), ['server', 'worker-1', 'worker-2'])
  const ids = Object.values(gpu.services).flatMap(({ deploy }) => deploy.resources.reservations.devices[0]?.device_ids)
  t.same(ids, ['0', '1', '2'], 'a device for each')
  t.match(gpu.services.server, {
    image: 'dylora-serve:cuda',
    build: { target: 'cuda' },
    environment: { DEVICE: 'cuda' },
  })
  t.same(gpu.services.server?.deploy.resources.reservations.devices[0]?.capabilities, ['gpu'])
})
