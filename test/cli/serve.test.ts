import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { writeAdapter } from '../../src/dylora/adapter-directory.ts'
import { importCheckpoint } from '../../src/dylora/import.ts'
import type { Generation } from '../../src/server/generate-reply.ts'
import { randomAdapter } from '../fixtures/adapters.ts'
import { fixturePath } from '../fixtures/golden.ts'

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

const directory = t.testdir()
const base = join(directory, 'base')
const adapters = join(directory, 'adapters')
await importCheckpoint(fixturePath('gpt2'), base)
await writeAdapter(join(adapters, 'only'), randomAdapter(1, 4))

interface Server {
  readonly url: string
  readonly child: ChildProcess
  readonly log: () => string
}

function start(t: Test, env: Record<string, string>): { child: ChildProcess; log: () => string } {
  const settings = { PORT: '0', DEVICE: 'cpu', BASE_MODEL: base, ADAPTERS_DIR: adapters, INTRA_OP_THREADS: '1' }
  const child = spawn(process.execPath, ['--import', 'tsx', main, 'serve'], {
    env: { ...process.env, ...settings, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  let text = ''
  child.stdout.on('data', (chunk) => {
    text += chunk
  })
  child.stderr.on('data', (chunk) => {
    text += chunk
  })
  return { child, log: () => text }
}

/** Started, and listening. */
async function serve(t: Test, env: Record<string, string> = {}): Promise<Server> {
  const { child, log } = start(t, env)
  for await (const line of createInterface({ input: child.stdout! })) {
    const url = /listening at (http:[^"\s]+)/.exec(line)?.[1]
    if (url !== undefined) return { url, child, log }
  }
  throw new Error(`expected a server, got ${log()}`)
}

const generate = (url: string, tokens: number, path = '/generate') =>
  fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ inputs: 'x', parameters: { max_new_tokens: tokens, details: true } }),
  })

const ended = (child: ChildProcess) => once(child, 'exit').then(([code, signal]) => ({ code, signal }))

t.test('serves from the environment alone, and says which device it took and why', async (t) => {
  const { url, log } = await serve(t, { DEVICE: 'auto' })
  const ready = await fetch(`${url}/ready`)
  t.equal(ready.status, 200)
  const { details } = (await (await generate(url, 4, '/generate?rank=2')).json()) as Generation
  t.match(details, { adapter_id: 'only', rank: 2, generated_tokens: 4 })
  const info = await (await fetch(`${url}/info`)).json()
  t.match(info, {
    base_model: { name: 'base' },
    device: { kind: /cpu|cuda/, reason: /DEVICE is auto/ },
    default_adapter: 'only',
  })
  t.match(info, { versions: { onnxruntime: /^\d/, node: process.versions.node }, limits: { max_batch_size: 16 } })
  t.match(log(), /"device":"(cpu|cuda)"/)
})

t.test('finishes what runs when it is told to stop, and exits with success', async (t) => {
  const { url, child, log } = await serve(t)
  const [whole, streamed] = [generate(url, 60), generate(url, 60, '/generate_stream')]
  const stream = await streamed
  const exit = ended(child)
  child.kill('SIGTERM')
  t.match(await stream.text(), /"generated_tokens":60/)
  t.equal((await whole).status, 200)
  t.same(await exit, { code: 0, signal: null })
  t.match(log(), /"stopped"/)
})

t.test('drops no request that it took when it is stopped under load', async (t) => {
  const { url, child } = await serve(t, { MAX_BATCH_SIZE: '4' })
  const outcomes: string[] = []
  const client = async (path: string) => {
    while (!outcomes.includes('refused')) outcomes.push(await outcomeOf(url, path))
  }
  const clients = Array.from({ length: 16 }, (_, i) => client(i % 2 ? '/generate' : '/generate_stream'))
  while (outcomes.length < 40) await sleep(1)
  const exit = ended(child)
  child.kill('SIGTERM')
  await Promise.all(clients)
  t.same(await exit, { code: 0, signal: null })
  t.same([...new Set(outcomes)].toSorted(), ['refused', 'whole'])
})

/** `refused` before it was taken: no connection, or 503 with the word to close it. */
async function outcomeOf(url: string, path: string): Promise<string> {
  const response = await generate(url, 50, path).catch(() => null)
  if (response === null) return 'refused'
  const text = await response.text().catch(() => '')
  if (response.status === 503) return response.headers.get('connection') === 'close' ? 'refused' : 'not told to close'
  return /"finish_reason":"(length|eos_token)"/.test(text) ? 'whole' : 'broken off'
}

t.test('stops at once on a second signal', async (t) => {
  const { url, child } = await serve(t, { MAX_BATCH_SIZE: '1' })
  const hanging = Array.from({ length: 100 }, () => generate(url, 60).catch(() => null))
  await sleep(100)
  const exit = ended(child)
  child.kill('SIGINT')
  await sleep(20)
  child.kill('SIGINT')
  t.match(await exit, { code: /0|1/ })
  await Promise.all(hanging)
})

t.test('says in one line that its port is taken', async (t) => {
  const { url } = await serve(t)
  const { port } = new URL(url)
  const { child, log } = start(t, { PORT: port })
  t.match(await ended(child), { code: 1 })
  t.match(log(), new RegExp(`^dylora: Configuration: PORT: ${port} is already in use on 127.0.0.1$`, 'm'))
})

t.test('fails at the start when CUDA is asked for and not there', async (t) => {
  const { child, log } = start(t, { DEVICE: 'cuda' })
  const isServing = new Promise<'serving'>((resolve) =>
    child.stdout?.on('data', () => log().includes('listening') && resolve('serving')),
  )
  const outcome = await Promise.race([ended(child), isServing])
  if (outcome === 'serving') return t.match(log(), /"device":"cuda"/)
  t.match(outcome, { code: 1 })
  return t.match(log(), /^dylora: Device 'cuda' is not available: .+$/m)
})

t.test('serves the base alone where there are no adapters', async (t) => {
  const { url } = await serve(t, { ADAPTERS_DIR: join(directory, 'nowhere') })
  const { details } = (await (await generate(url, 4)).json()) as Generation
  t.match(details, { adapter_id: null, rank: 0 })
  t.equal((await fetch(`${url}/ready`)).status, 200)
})

t.test('warns when the default adapter that it was told is not there', async (t) => {
  const { url, log } = await serve(t, { DEFAULT_ADAPTER: 'missing' })
  t.match(log(), /"wanted":"missing","taken":"only","msg":"the default adapter does not serve"/)
  t.match(await (await fetch(`${url}/info`)).json(), { default_adapter: 'only' })
})
