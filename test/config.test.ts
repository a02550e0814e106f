import t from 'tap'
import { loadConfig, settings } from '../src/config.ts'

t.test('gives defaults that suit a laptop', async (t) => {
  const config = loadConfig({})
  t.match(config, { PORT: 8080, HOST: '127.0.0.1', DEVICE: 'auto', MAX_WAITING_REQUESTS: 128, VLLM_METRICS: false })
  t.match(config.ADAPTERS_DIR, /models[/\\]adapters$/)
  t.equal(config.BASE_MODEL, undefined)
})

t.test('takes an empty variable as unset', async (t) => {
  t.same(loadConfig({ PORT: '', DEVICE: '', BASE_MODEL: '' }), loadConfig({}))
})

t.test('reads numbers, words and flags', async (t) => {
  const config = loadConfig({ PORT: '0', DEVICE: 'cpu', VLLM_METRICS: 'true', REQUEST_TIMEOUT: '1.5' })
  t.match(config, { PORT: 0, DEVICE: 'cpu', VLLM_METRICS: true, REQUEST_TIMEOUT: 1.5 })
})

t.test('names every mistake at once, with what was expected and got', async (t) => {
  const env = { PORT: 'eighty', MAX_BATCH_SIZE: '0', DEVICE: 'tpu', VLLM_METRICS: 'perhaps', BODY_LIMIT: '1e6' }
  t.throws(() => loadConfig(env), { code: 'configuration_invalid' })
  try {
    loadConfig(env)
  } catch (error) {
    const { message } = error as Error
    for (const [name, value] of Object.entries(env))
      t.match(message, new RegExp(`${name}: expected .*, got '${value}'`))
  }
})

t.test('reads a device for each worker', async (t) => {
  t.same(loadConfig({ JOB_DEVICE_IDS: '1, 2,3' }).JOB_DEVICE_IDS, [1, 2, 3])
  for (const JOB_DEVICE_IDS of ['gpu0', '1,,2', '256', '-1'])
    t.throws(() => loadConfig({ JOB_DEVICE_IDS }), { message: /JOB_DEVICE_IDS: expected ids of devices/ })
})

t.test('reads adapters of the hub, and refuses what could name none', async (t) => {
  const { HUB_ADAPTERS } = loadConfig({ HUB_ADAPTERS: 'e2e=org/e2e@v1.0, b=o/n' })
  t.same(
    [...(HUB_ADAPTERS ?? [])],
    [
      ['e2e', { repository: 'org/e2e', revision: 'v1.0' }],
      ['b', { repository: 'o/n', revision: 'main' }],
    ],
  )
  for (const HUB_ADAPTERS of ['org/e2e', 'e2e=org', 'a=o/n,a=o/m', '../a=o/n', 'a=o/../n', 'a=o/n@', 'a=o/n,'])
    t.throws(() => loadConfig({ HUB_ADAPTERS }), { message: /HUB_ADAPTERS: expected one <name>=<org>/ }, HUB_ADAPTERS)
})

t.test('refuses numbers that are not plain whole numbers', async (t) => {
  for (const PORT of ['0x10', '-1', ' 80', '80.5', '65536', 'Infinity', '9'.repeat(30)]) {
    t.throws(() => loadConfig({ PORT }), { code: 'configuration_invalid' }, PORT)
  }
})

t.test('reads what selects ranks live, and refuses what it cannot read', async (t) => {
  const config = loadConfig({
    RANK_POLICIES: '{"e2e": {"default_rank": "auto", "max_rank": 4}, "other": {}}',
    CANARY: 'e2e=e2e@sha256:ab12:0.25',
    SHADOW_SHARE: '0.05',
    PRESSURE_RANK: '2',
  })
  t.same(config.RANK_POLICIES, { e2e: { defaultRank: 'auto', maxRank: 4 }, other: {} })
  t.same(config.CANARY, { adapter: 'e2e', canary: 'e2e@sha256:ab12', share: 0.25 })
  t.match(config, { SHADOW_SHARE: 0.05, PRESSURE_RANK: 2, PRESSURE_WAITING: 8 })
  const wrong: [string, string][] = [
    ...['{', '[]', '{"e2e": {"rank": 4}}', '{"e2e": {"max_rank": 0}}'].map((text): [string, string] => [
      'RANK_POLICIES',
      text,
    ]),
    ...['e2e', 'e2e=next', 'e2e=next:2', '=next:0.1'].map((text): [string, string] => ['CANARY', text]),
    ...['2', '-0.1', 'half', '5%'].map((text): [string, string] => ['SHADOW_SHARE', text]),
  ]
  for (const [name, text] of wrong) {
    t.throws(() => loadConfig({ [name]: text }), { message: new RegExp(`${name}: expected`) }, `${name} ${text}`)
  }
})

t.test('ignores variables that are not its own', async (t) => {
  t.notOk('PATH' in loadConfig({ PATH: '/bin' }))
})

t.test('lists every setting with a description, for the README', async (t) => {
  const table = settings()
  t.equal(table.length, Object.keys(loadConfig({})).length + 21, 'optional settings are listed too')
  for (const { name, description } of table) t.ok(description.length > 10, name)
  t.match(
    table.find(({ name }) => name === 'ADAPTERS_DIR'),
    { default: 'models/adapters' },
  )
})
