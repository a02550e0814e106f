/** Stores of adapters: what is published is found whole, what it replaced stays, and nothing outside is reached. */
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { readAdapter, writeAdapter } from '../../../src/dylora/adapter-directory.ts'
import type { AdapterStore, StoreOptions } from '../../../src/dylora/store/adapter-store.ts'
import { openStore } from '../../../src/dylora/store/open-store.ts'
import { AdapterWatcher } from '../../../src/server/adapter-watcher.ts'
import { randomAdapter } from '../../fixtures/adapters.ts'
import { BucketServer } from '../../fixtures/bucket-server.ts'

// What the environment of a user has.
Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret' })

/** Directories of three different adapters. */
async function adaptersIn(t: Test): Promise<{ directories: string[]; digests: string[] }> {
  const root = t.testdir()
  const directories = [1, 2, 3].map((seed) => join(root, 'made', `made-${seed}`))
  const digests: string[] = []
  for (const [i, directory] of directories.entries()) {
    digests.push((await writeAdapter(directory, randomAdapter(i + 1))).digest)
  }
  return { directories, digests }
}

const short = (digest = ''): string => digest.slice('sha256:'.length, 'sha256:'.length + 12)

interface Opened {
  readonly store: AdapterStore
  readonly service: BucketServer | null
}

const kinds: Readonly<Record<string, (t: Test, options: StoreOptions) => Promise<Opened>>> = {
  'a directory': async (t, options) => {
    const place = join(t.testdirName, 'store')
    return { store: await openStore(place, { ...options, cacheDirectory: '' }), service: null }
  },
  'a bucket': async (t, options) => {
    const service = await BucketServer.open(t)
    return { store: await bucketStore(t, service, options), service }
  },
}

const bucketStore = (t: Test, service: BucketServer, options: Partial<StoreOptions> = {}, cache = 'cache') =>
  openStore('s3://adapters/team/a', {
    ...{ endpoint: service.address, keptVersions: 2, pinned: [], ...options },
    cacheDirectory: join(t.testdirName, cache),
  })

for (const [kind, open] of Object.entries(kinds)) {
  t.test(`${kind}: what was published last has the name, and what it replaced stays as a version`, async (t) => {
    const { directories, digests } = await adaptersIn(t)
    const { store } = await open(t, { keptVersions: 1, pinned: [] })
    t.same([...(await store.list()).keys()], [])
    t.equal(await store.stateOf('e2e'), null)
    const states: (string | null)[] = []
    for (const [i, directory] of directories.entries()) {
      await store.publish('e2e', directory)
      states.push(await store.stateOf('e2e'))
      t.equal((await readAdapter(await store.fetch('e2e'))).digest, digests[i])
      await sleep(10)
    }
    t.equal(new Set(states).size, 3, 'each can be told from the last')
    t.same([...(await store.list()).keys()].toSorted(), ['e2e', `e2e@${short(digests[1])}`], 'one is kept')
    t.equal((await store.list()).get('e2e'), states[2])
    const kept = await readAdapter(await store.fetch(`e2e@${short(digests[1])}`))
    t.equal(kept.digest, digests[1])
    await store.publish('e2e', String(directories[2]))
    t.same(
      [...(await store.list()).keys()].toSorted(),
      ['e2e', `e2e@${short(digests[1])}`],
      'the same again is no version',
    )
  })

  t.test(`${kind}: a pinned version is kept, and none is where none is wanted`, async (t) => {
    const { directories, digests } = await adaptersIn(t)
    const pin = `e2e@${digests[0]?.slice('sha256:'.length)}`
    const { store } = await open(t, { keptVersions: 0, pinned: [pin] })
    for (const directory of directories) await store.publish('e2e', directory)
    const versions = [...(await store.list()).keys()].filter((name) => name !== 'e2e')
    t.same(versions, [`e2e@${short(digests[0])}`])
  })

  t.test(`${kind}: no request reaches anything outside`, async (t) => {
    const { directories, digests } = await adaptersIn(t)
    const { store } = await open(t, { keptVersions: 1, pinned: [] })
    await store.publish('e2e', String(directories[0]))
    t.equal((await readAdapter(await store.locate('e2e'))).digest, digests[0])
    for (const path of ['', '.', '..', '../made/made-1', 'e2e/../..', '/etc', 'none', '.hidden', 'e2e\0', 'a\\b']) {
      await t.rejects(store.locate(path), { code: 'validation', message: /^lora_path: expected/ }, JSON.stringify(path))
    }
  })
}

t.test('a directory whose name says another version is refused', async (t) => {
  const { directories } = await adaptersIn(t)
  const store = await openStore(join(t.testdirName, 'made'), { keptVersions: 0, pinned: [], cacheDirectory: '' })
  await store.publish('made-1@0123456789ab', String(directories[0]))
  await t.rejects(readAdapter(await store.fetch('made-1@0123456789ab')), {
    message: /its name says version 0123456789ab, and its digest is sha256:/,
  })
})

t.test('a bucket: files that somebody put there serve, once they are whole', async (t) => {
  const { directories, digests } = await adaptersIn(t)
  const service = await BucketServer.open(t)
  const store = await bucketStore(t, service)
  const put = (file: string, from: string | undefined, name = 'mine') =>
    service.put(`team/a/${name}/${file}`, readFileSync(join(String(from), file)))
  put('adapter_config.json', directories[0])
  t.same([...(await store.list()).keys()], [])
  put('adapter_model.safetensors', directories[0])
  put('dylora.json', directories[0])
  put('dylora.json', directories[0], '.hidden')
  service.put('team/a/readme.md', 'x')
  service.put('team/a/mine/deeper/dylora.json', 'x')
  service.put('team/ab/dylora.json', 'x')
  t.same([...(await store.list()).keys()], ['mine'])
  t.equal((await readAdapter(await store.fetch('mine'))).digest, digests[0])
  put('adapter_model.safetensors', directories[1])
  await t.rejects(readAdapter(await store.fetch('mine')), /does not match its digest/, 'half of two adapters')
})

t.test('a bucket: a copy is made once, and never of two versions', async (t) => {
  const { directories, digests } = await adaptersIn(t)
  const service = await BucketServer.open(t)
  const store = await bucketStore(t, service)
  await store.publish('e2e', String(directories[0]))
  await store.fetch('e2e')
  const before = service.requests.length
  t.equal((await readAdapter(await (await bucketStore(t, service)).fetch('e2e'))).digest, digests[0])
  const gets = service.requests.slice(before).filter((request) => /GET .*(safetensors|json)/.test(request))
  t.same(gets, [], 'another start has it already')
  const version = `team/a/e2e@${short(digests[0])}`
  rmSync(join(t.testdirName, 'cache'), { recursive: true })
  service.beforeGet = (key) => {
    if (key.endsWith('safetensors')) service.put(`${version}/dylora.json`, '{}')
  }
  await t.rejects(store.fetch('e2e'), { name: 'PreconditionFailed' })
  t.same(readdirSync(join(t.testdirName, 'cache')), [], 'nothing half is left')
})

t.test('a bucket: a publication that breaks off changes nothing', async (t) => {
  const { directories, digests } = await adaptersIn(t)
  const service = await BucketServer.open(t)
  const store = await bucketStore(t, service)
  await store.publish('e2e', String(directories[0]))
  for (const file of ['adapter_model.safetensors', 'dylora.json', 'current']) {
    service.failing = { status: 403, when: new RegExp(`PUT .*${file}`) }
    await t.rejects(store.publish('e2e', String(directories[1])))
    service.failing = null
    t.equal((await readAdapter(await store.fetch('e2e'))).digest, digests[0], file)
  }
  service.put('team/a/e2e/current', '../../other@0123456789ab')
  t.equal(await store.stateOf('e2e'), null, 'a pointer leads to no other adapter')
})

t.test('a bucket whose address is none is refused by name', async (t) => {
  const options = { keptVersions: 0, pinned: [], cacheDirectory: '' }
  for (const place of ['s3://', 's3://UPPER/x', 's3:///x', 's3://a b/x'])
    await t.rejects(openStore(place, options), { message: /expected s3:\/\/<bucket>\/<prefix>, got/ }, place)
})

t.test('two servers on one bucket come to the same, through failures of the bucket', async (t) => {
  const { directories, digests } = await adaptersIn(t)
  const service = await BucketServer.open(t)
  const warnings: string[] = []
  const replica = async (name: string) => {
    const served = new Map<string, string>()
    const store = await bucketStore(t, service, {}, name)
    const watcher = new AdapterWatcher({
      ...{ store, settleMs: 20, rescanMs: 100 },
      sink: {
        read: readAdapter,
        take: async (name, { digest }) => void served.set(name, digest),
        refuse: (name, error) => warnings.push(`refused ${name}: ${error}`),
        remove: (name) => void served.delete(name),
      },
      warn: (_, message) => warnings.push(message),
    })
    t.teardown(() => watcher.close())
    await watcher.start()
    return served
  }
  const replicas = [await replica('one'), await replica('two')]
  const come = async (expected: Readonly<Record<string, string | undefined>>) => {
    const wanted = JSON.stringify(Object.entries(expected))
    const now = () => replicas.map((served) => JSON.stringify([...served].toSorted()))
    for (let i = 0; i < 400 && !now().every((each) => each === wanted); i++) await sleep(25)
    t.same(now(), [wanted, wanted])
  }
  const publisher = await bucketStore(t, service)
  await publisher.publish('e2e', String(directories[0]))
  await come({ e2e: digests[0] })
  await publisher.publish('e2e', String(directories[1]))
  await come({ e2e: digests[1], [`e2e@${short(digests[0])}`]: digests[0] })
  service.failing = { status: 403, when: /GET/ }
  await publisher.publish('two', String(directories[2])).catch(() => {})
  await sleep(300)
  service.failing = { status: 403, when: /GET .*safetensors/ }
  await sleep(300)
  t.equal(replicas[0]?.get('e2e'), digests[1], 'what serves goes on')
  service.failing = null
  await come({ e2e: digests[1], [`e2e@${short(digests[0])}`]: digests[0], two: digests[2] })
  t.ok(warnings.includes('looking for adapters failed') && warnings.includes("fetching adapter 'two' failed"))
  t.notOk(
    warnings.some((warning) => warning.startsWith('refused')),
    'nobody is refused for it',
  )
  for (const key of service.objects.keys()) if (!key.includes('/two')) service.objects.delete(key)
  await come({ two: digests[2] })
})
