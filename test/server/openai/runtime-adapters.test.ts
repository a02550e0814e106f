import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pino } from 'pino'
import t from 'tap'
import { directoryStore } from '../../../src/dylora/store/directory-store.ts'
import { runtimeAdapters } from '../../../src/server/runtime-adapters.ts'
import { randomAdapter } from '../../fixtures/adapters.ts'
import { inputs, testApp } from '../../fixtures/app.ts'

const { app, adapter, directory, engine, post } = await testApp(t, {})
const root = join(directory, 'adapters')

const { post: admin } = await testApp(t, {
  app: {
    engine,
    runtimeAdapters: runtimeAdapters(
      engine.registry,
      directoryStore(root, { keptVersions: 0, pinned: [] }),
      pino({ level: 'silent' }),
    ),
  },
})
await adapter('third', randomAdapter(3, 4))
const load = (lora_name: unknown, lora_path: unknown, more = {}) =>
  admin('/v1/load_lora_adapter', { lora_name, lora_path, ...more })
const unload = (lora_name: unknown) => admin('/v1/unload_lora_adapter', { lora_name })
const complete = (model: string) => admin('/v1/completions', { model, prompt: inputs, max_tokens: 2 })

t.test('is off unless it is switched on', async (t) => {
  for (const [path, body] of [
    ['load', { lora_name: 'x', lora_path: 'third' }],
    ['unload', { lora_name: 'e2e' }],
  ] as const) {
    const reply = await post(`/v1/${path}_lora_adapter`, body)
    t.equal(reply.statusCode, 403)
    t.match(reply.json(), { error: { type: 'permission_error', code: 'forbidden' } })
  }
  t.equal((await complete('e2e')).statusCode, 200)
})

t.test('loads an adapter under a name of its own, and unloads it', async (t) => {
  t.equal((await complete('mine')).statusCode, 404)
  const loaded = await load('mine', 'third')
  t.equal(loaded.statusCode, 200)
  t.equal(loaded.payload, "Success: LoRA adapter 'mine' added successfully.")
  t.match(loaded.headers, { 'content-type': /^text\/plain/ })
  t.match((await complete('mine:r4')).json(), { dylora: { adapter_id: 'mine', rank: 4 } })
  t.match((await load('mine', join(root, 'third'))).json(), {
    error: { param: 'lora_name', message: /already loaded/ },
  })
  t.equal((await load('mine', join(root, 'third'), { load_inplace: true })).statusCode, 200)
  t.equal((await unload('mine')).payload, "Success: LoRA adapter 'mine' removed successfully.")
  t.equal((await complete('mine')).statusCode, 404)
  t.match((await unload('mine')).json(), { error: { code: 'model_not_found', type: 'not_found_error' } })
})

t.test('never leaves the adapter directory, and does not tell what is outside', async (t) => {
  const outside = join(directory, 'outside')
  await mkdir(outside)
  await writeFile(join(outside, 'adapter_config.json'), 'secret')
  await symlink(outside, join(root, 'link'))
  await symlink(root, join(root, 'self'))
  const paths = [
    ...['..', '.', '', '/', '/etc', '../outside', 'third/../../outside', outside, 'link', 'link/', 'self', '.hidden'],
    ...['nowhere', '../nowhere', 'third\0', '..\\outside', '%2e%2e/outside', 'file:///etc', '~', 'x'.repeat(900)],
  ]
  const messages = new Set<string>()
  for (const path of paths) {
    const reply = await load('evil', path)
    t.equal(reply.statusCode, 400, path)
    t.match(reply.json(), { error: { type: 'invalid_request_error', param: 'lora_path' } }, path)
    if (path !== '') messages.add(reply.json().error.message)
    t.notMatch(reply.payload, directory)
  }
  t.same([...messages], ['lora_path: expected a directory inside the adapter directory'])
  for (const name of ['', '..', 'a/b', '.x', 'a b', 'a:r4', 5, null]) {
    t.equal((await load(name, 'third')).statusCode, 400, String(name))
  }
  t.equal((await load('base', 'third')).statusCode, 400)
})

t.test('says what is wrong with an adapter, not where it is', async (t) => {
  await mkdir(join(root, 'broken'))
  await writeFile(join(root, 'broken', 'adapter_config.json'), '{}')
  const reply = await load('broken', 'broken')
  t.match(reply.json(), { error: { code: 'adapter_invalid', message: /broken/ } })
  t.equal(reply.statusCode, 400)
  t.notMatch(reply.payload, directory)
  t.equal((await app.inject('/v1/models')).json().data.length, 3)
})
