/** Base models and adapters by their id on a hub: imported, and served by a server that starts again without it. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { run as runImport } from '../../src/cli/import.ts'
import { readAdapter, writeAdapter } from '../../src/dylora/adapter-directory.ts'
import { readBaseModel } from '../../src/dylora/base-model.ts'
import { randomAdapter } from '../fixtures/adapters.ts'
import { fixturePath } from '../fixtures/golden.ts'
import { type HubFiles, HubServer } from '../fixtures/hub-server.ts'
import { listening, startProcess } from '../fixtures/serve-process.ts'

async function filesIn(directory: string): Promise<HubFiles> {
  const names = await readdir(directory)
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await readFile(join(directory, name))])))
}

t.test('import takes a hub id for a directory', async (t) => {
  const hub = await HubServer.open(t)
  const directory = t.testdir()
  hub.push('org/gpt2', await filesIn(fixturePath('gpt2')))
  hub.push('org/lora', await filesIn(fixturePath('peft-lora')), 'v1')
  process.env.HF_ENDPOINT = hub.address
  process.env.CACHE_DIR = join(directory, 'cache')
  t.teardown(() => {
    delete process.env.HF_ENDPOINT
    delete process.env.CACHE_DIR
  })
  const said = t.capture(console, 'log')
  const place = (name: string) => join(directory, name)
  await runImport(['org/gpt2', '--out', place('base')])
  await runImport([fixturePath('gpt2'), '--out', place('same')])
  t.equal((await readBaseModel(place('base'))).digest, (await readBaseModel(place('same'))).digest)
  await runImport(['--lora', 'org/lora@v1', '--base', place('base'), '--out', place('a')])
  await runImport(['--lora', fixturePath('peft-lora'), '--base', place('same'), '--out', place('b')])
  t.equal((await readAdapter(place('a'))).digest, (await readAdapter(place('b'))).digest)
  t.match(
    said().map(({ args }) => String(args[0])),
    [/^org\/gpt2@main: fetching config.json, \d+ bytes$/],
  )
  await t.rejects(runImport(['org/none', '--out', place('c')]), { code: 'checkpoint_invalid', message: /org\/none/ })
})

t.test('serves a base and adapters of the hub, and starts again without it', async (t) => {
  const hub = await HubServer.open(t)
  const directory = t.testdir()
  const files = await filesIn(fixturePath('gpt2'))
  hub.push('org/gpt2', files)
  await runImport([fixturePath('gpt2'), '--out', join(directory, 'base')])
  const { digest: baseDigest } = await readBaseModel(join(directory, 'base'))
  await writeAdapter(join(directory, 'own'), randomAdapter(1, 4, { baseDigest }))
  hub.push('org/own', await filesIn(join(directory, 'own')))
  hub.push('org/lora', await filesIn(fixturePath('peft-lora')))
  hub.push('org/no-adapter', files)
  const HF_ENDPOINT = hub.address
  const start = () =>
    startProcess(
      'serve',
      {
        BASE_MODEL: 'org/gpt2',
        HUB_ADAPTERS: 'own=org/own,lora=org/lora@main,broken=org/no-adapter',
        HF_ENDPOINT,
        CACHE_DIR: join(directory, 'cache'),
        ADAPTERS_DIR: join(directory, 'adapters'),
        DEVICE: 'cpu',
      },
      listening,
    )
  const generated = async (url: string) => {
    while (!(await fetch(`${url}/ready`)).ok) await new Promise((resolve) => setTimeout(resolve, 50))
    const { adapters } = (await (await fetch(`${url}/adapters`)).json()) as { adapters: { id: string }[] }
    const body = JSON.stringify({ inputs: 'a', parameters: { max_new_tokens: 4 } })
    const headers = { 'content-type': 'application/json' }
    const reply = await fetch(`${url}/generate?rank=2&adapter_id=own`, { method: 'POST', headers, body })
    const { generated_text: text } = (await reply.json()) as { generated_text: string }
    return { ids: adapters.map(({ id }) => id).sort(), status: reply.status, text }
  }
  const first = await start()
  t.teardown(() => first.kill('SIGKILL'))
  const before = await generated(first.url)
  t.same(before.ids, ['lora', 'own'])
  t.equal(before.status, 200)
  t.match(first.log(), /an adapter of the hub could not be taken/)
  await first.kill('SIGTERM')
  await hub.close()
  const second = await start()
  t.teardown(() => second.kill('SIGKILL'))
  t.same(await generated(second.url), before)
  t.match(second.log(), /the hub cannot be reached; taken as it was last seen/)
})
