import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { parse } from 'yaml'

const root = new URL('../', import.meta.url)
const read = (path: string) => readFile(new URL(path, root), 'utf8')

/** Instructions with their arguments, continued lines joined, comments left out. */
async function instructions(): Promise<readonly (readonly [string, string])[]> {
  const lines = (await read('Dockerfile'))
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n/g, ' ')
    .split('\n')
  return lines
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [, name = '', rest = ''] = /^([A-Z]+) +(.*)$/.exec(line) ?? []
      return [name, rest] as const
    })
}

const argumentsOf = async (name: string): Promise<string[]> =>
  (await instructions()).filter(([one]) => one === name).map(([, rest]) => rest)

t.test('every line of the Dockerfile is an instruction', async (t) => {
  const known = /^(ARG|FROM|WORKDIR|COPY|RUN|ENV|USER|EXPOSE|STOPSIGNAL|HEALTHCHECK|ENTRYPOINT|CMD)$/
  for (const [name, rest] of await instructions()) t.match(name, known, rest)
})

t.test('the image copies only what is there and what .dockerignore lets in', async (t) => {
  const allowed = (await read('.dockerignore'))
    .split('\n')
    .filter((line) => line.startsWith('!'))
    .map((line) => line.slice(1))
  const copies = (await argumentsOf('COPY')).filter((rest) => !rest.startsWith('--from'))
  for (const source of copies.flatMap((rest) => rest.split(' ').slice(0, -1))) {
    t.ok(existsSync(new URL(source, root)), `${source} is there`)
    t.ok(
      allowed.some((path) => path === source || path.startsWith(`${source}/`)),
      `${source} is let in`,
    )
  }
})

t.test('the image has .npmrc before it installs, so that nothing is downloaded behind npm', async (t) => {
  const [all, installs] = [await instructions(), /npm ci/]
  const first = all.findIndex(([, rest]) => installs.test(rest))
  t.ok(all.slice(0, first).some(([name, rest]) => name === 'COPY' && rest.includes('.npmrc')))
})

t.test('the server in the image is nobody special, is asked whether it is ready, and is told to stop', async (t) => {
  t.notMatch((await argumentsOf('USER')).at(-1), /root|^0/)
  t.match(await argumentsOf('HEALTHCHECK'), [/\/ready/])
  t.same(await argumentsOf('STOPSIGNAL'), ['SIGTERM'])
  t.match(await argumentsOf('ENV'), [/HOST=0\.0\.0\.0 PORT=8080/])
})

t.test('Prometheus scrapes the server of the compose file, and has its configuration', async (t) => {
  const compose = parse(await read('docker/compose.yaml'))
  const prometheus = parse(await read('docker/prometheus.yml'))
  const [host, port] = prometheus.scrape_configs[0].static_configs[0].targets[0].split(':')
  t.ok(compose.services[host], host)
  t.ok(compose.services[host].ports[0].endsWith(`:${port}`))
  t.match(compose.services[host].deploy.resources.reservations.devices, [{ driver: 'nvidia', capabilities: ['gpu'] }])
  for (const { volumes } of Object.values<{ volumes: string[] }>(compose.services)) {
    const sources = volumes.map((volume) => volume.split(':')[0] ?? '').filter((source) => source.startsWith('.'))
    for (const source of sources) t.ok(existsSync(new URL(source, new URL('docker/', root))), source)
  }
})

t.test('running requests get longer in the compose file than the server gives them', async (t) => {
  const compose = parse(await read('docker/compose.yaml'))
  const { loadConfig } = await import('../src/config.ts')
  t.ok(Number.parseInt(compose.services.server.stop_grace_period, 10) > loadConfig({}).SHUTDOWN_TIMEOUT)
})

t.test('promtool accepts the configuration, where there is one', async (t) => {
  const file = fileURLToPath(new URL('docker/prometheus.yml', root))
  const { error, status, stderr } = spawnSync('promtool', ['check', 'config', file], { encoding: 'utf8' })
  t.ok(error !== undefined || status === 0, stderr)
})
