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

t.test('refuses numbers that are not plain whole numbers', async (t) => {
  for (const PORT of ['0x10', '-1', ' 80', '80.5', '65536', 'Infinity', '9'.repeat(30)]) {
    t.throws(() => loadConfig({ PORT }), { code: 'configuration_invalid' }, PORT)
  }
})

t.test('ignores variables that are not its own', async (t) => {
  t.notOk('PATH' in loadConfig({ PATH: '/bin' }))
})

t.test('lists every setting with a description, for the README', async (t) => {
  const table = settings()
  t.equal(table.length, Object.keys(loadConfig({})).length + 4, 'optional settings are listed too')
  for (const { name, description } of table) t.ok(description.length > 10, name)
  t.match(
    table.find(({ name }) => name === 'ADAPTERS_DIR'),
    { default: 'models/adapters' },
  )
})
