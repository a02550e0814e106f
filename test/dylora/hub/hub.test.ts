/** Fetching from a hub: over HTTP, against a hub in memory. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { fetchSnapshot, type HubOptions } from '../../../src/dylora/hub/hub.ts'
import { adapterFilesOf, baseFiles } from '../../../src/dylora/hub/hub-files.ts'
import { parseHubId } from '../../../src/dylora/hub/hub-id.ts'
import { type HubFiles, HubServer } from '../../fixtures/hub-server.ts'

const weights = Buffer.alloc(300_000, 'weights')
const checkpoint: HubFiles = {
  'README.md': Buffer.from('# A model'),
  'config.json': Buffer.from('{"model_type": "gpt2"}'),
  'tokenizer.json': Buffer.from('{}'),
  'model.safetensors': weights,
  'pytorch_model.bin': Buffer.from('a pickle'),
  'model.onnx': Buffer.from('an export'),
}

async function hubWith(t: Test, files: HubFiles = checkpoint) {
  const hub = await HubServer.open(t)
  const commit = hub.push('o/n', files)
  const said: string[] = []
  const options: HubOptions = {
    cacheDirectory: join(t.testdir(), 'hub'),
    endpoint: `${hub.address}/`,
    token: undefined,
    tell: (line) => said.push(line),
  }
  const fetch = (id = 'o/n', choose = baseFiles, more: Partial<HubOptions> = {}) =>
    fetchSnapshot(parseHubId(id)!, choose, { ...options, ...more })
  return { hub, commit, said, fetch, cache: options.cacheDirectory }
}

t.test('fetches what is needed of a checkpoint and nothing else', async (t) => {
  const { hub, commit, said, fetch } = await hubWith(t)
  const snapshot = await fetch()
  t.equal(snapshot.commit, commit)
  const names = (await readdir(snapshot.directory)).filter((name) => !name.startsWith('.'))
  t.same(names.sort(), ['config.json', 'model.safetensors', 'tokenizer.json'], 'no pickle, no second copy of weights')
  t.ok((await readFile(join(snapshot.directory, 'model.safetensors'))).equals(weights))
  t.match(said, ['o/n@main: fetching config.json, 22 bytes', /tokenizer.json/, /model.safetensors, 300000 bytes/])
  t.same(
    hub.authorizations.filter((header) => header !== undefined),
    [],
    'without a token',
  )
})

t.test('an export goes for the weights where there are no others', async (t) => {
  const { 'model.safetensors': _, ...others } = checkpoint
  const { fetch } = await hubWith(t, others)
  const { directory } = await fetch()
  t.ok((await readdir(directory)).includes('model.onnx'))
})

t.test('asks again for the branch alone, and for nothing of a commit', async (t) => {
  const { hub, commit, fetch } = await hubWith(t)
  await fetch()
  hub.requests.length = 0
  await fetch()
  t.same(hub.requests, ['GET /api/models/o/n/revision/main'])
  hub.requests.length = 0
  t.equal((await fetch(`o/n@${commit}`)).commit, commit)
  t.same(hub.requests, [])
})

t.test('follows a branch that moved, and keeps the commit before', async (t) => {
  const { hub, commit, fetch } = await hubWith(t)
  const before = await fetch()
  const next = hub.push('o/n', { ...checkpoint, 'config.json': Buffer.from('{"model_type": "gpt3"}') })
  const after = await fetch()
  t.equal(after.commit, next)
  t.match(await readFile(join(after.directory, 'config.json'), 'utf8'), /gpt3/)
  t.match(await readFile(join(before.directory, 'config.json'), 'utf8'), /gpt2/)
  hub.push('o/n', checkpoint, 'v2')
  t.not((await fetch('o/n@v2')).commit, commit)
})

t.test('goes on with what it has where the hub cannot be reached', async (t) => {
  const { hub, commit, said, fetch } = await hubWith(t)
  const { directory } = await fetch()
  hub.refusal = 503
  said.length = 0
  t.same(await fetch(), { directory, commit }, 'ill')
  await hub.close()
  t.same(await fetch(), { directory, commit }, 'gone')
  t.match(said, [/^o\/n@main: the hub cannot be reached; taken as it was last seen, at [0-9a-f]{40}$/, /last seen/])
  await t.rejects(fetch('o/n@v2'), { code: 'checkpoint_invalid', message: /the hub cannot be reached at http:.*ECONN/ })
})

t.test('bytes that are not those that the hub lists are not kept', async (t) => {
  const { hub, commit, fetch, cache } = await hubWith(t)
  const place = join(cache, 'o--n', commit)
  const spoiled = async (path: string, change: (bytes: Buffer) => Buffer, message: RegExp) => {
    hub.spoil = (bytes, of) => (of === path ? change(bytes) : bytes)
    await t.rejects(fetch(), { code: 'checkpoint_invalid', message })
    t.notOk(
      (await readdir(place)).some((name) => name.includes(path)),
      `nothing of ${path} is left`,
    )
  }
  const flipped = (bytes: Buffer) => Buffer.from(bytes).fill(0x7f, 5, 6)
  await spoiled('config.json', flipped, /config.json: expected checksum [0-9a-f]{40}, got [0-9a-f]{40}/)
  await spoiled('model.safetensors', flipped, /model.safetensors: expected checksum [0-9a-f]{64}, got/)
  await spoiled('model.safetensors', (bytes) => bytes.subarray(9), /expected 300000 bytes, got 299991/)
  hub.spoil = (bytes) => bytes
  t.ok((await readFile(join((await fetch()).directory, 'model.safetensors'))).equals(weights), 'the next try has it')
})

t.test('says what is missing: the repository, the right, the file', async (t) => {
  const { hub, fetch } = await hubWith(t)
  await t.rejects(fetch('o/other'), { message: /o\/other@main.*no such repository or revision/ })
  await t.rejects(fetch('o/n@v9'), { message: /o\/n@v9.*no such repository or revision/ })
  await t.rejects(fetch('o/n', adapterFilesOf), {
    message: /expected adapter_config.json and adapter_model.safetensors/,
  })
  hub.push('o/empty', { 'pytorch_model.bin': Buffer.from('a pickle') })
  await t.rejects(fetch('o/empty'), { message: /expected \*\.safetensors or model\.onnx/ })
  hub.refusal = 401
  await t.rejects(fetch('o/gated'), { message: /wants a token that may read it \(HF_TOKEN\)/ })
  hub.refusal = 403
  await t.rejects(fetch('o/gated', baseFiles, { token: 'hf_abc' }), {
    message: /the token \(HF_TOKEN\) may not read it/,
  })
})

t.test('a token goes with every request, and one that cannot be any is refused before', async (t) => {
  const { hub, fetch } = await hubWith(t)
  const refused = await fetch('o/n', baseFiles, { token: 'secret' }).catch(String)
  t.match(refused, /HF_TOKEN: expected a token that begins with hf_$/, 'without the token itself')
  t.same(hub.requests, [])
  await fetch('o/n', baseFiles, { token: 'hf_abc' })
  t.ok(hub.authorizations.length > 4)
  t.ok(hub.authorizations.every((header) => header === 'Bearer hf_abc'))
})

t.test('a listing that was damaged is asked for again', async (t) => {
  const { hub, fetch } = await hubWith(t)
  const { directory } = await fetch()
  await writeFile(join(directory, '.listing.json'), '{"files": 3}')
  hub.requests.length = 0
  t.equal((await fetch()).directory, directory)
  t.equal(hub.requests.length, 2, 'the revision and the listing, no file')
})
