import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import { pino } from 'pino'
import t from 'tap'
import { openKeyRing } from '../../src/cli/key-ring.ts'
import { run } from '../../src/cli/keys.ts'
import { findKey } from '../../src/server/access-keys.ts'
import { isLoopback } from '../../src/server/plugins/access.ts'

const log = pino({ level: 'silent' })
const none = {
  AUTH: 'auto',
  HOST: '127.0.0.1',
  API_KEYS: undefined,
  ADMIN_KEYS: undefined,
  API_KEYS_FILE: undefined,
} as const

async function place(t: { teardown(after: () => Promise<void>): void }): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'dylora-keys-'))
  t.teardown(() => rm(directory, { recursive: true }))
  return join(directory, 'keys.json')
}

t.test('a key is printed once, and its file holds a hash that only its owner may read', async (t) => {
  const file = await place(t)
  const printed = t.capture(console, 'log')
  await run(['add', '--file', file, '--name', 'ci'])
  await run(['add', '--file', file, '--name', 'ops', '--admin'])
  const [ci, ops] = printed().map(({ args }) => String(args[0]))
  t.match(ci, /^dyl_[\w-]{43}$/)
  t.not(ci, ops)
  const text = await readFile(file, 'utf8')
  t.notMatch(text, ci ?? '')
  t.equal((await stat(file)).mode & 0o777, 0o600)
  const ring = await openKeyRing({ ...none, API_KEYS_FILE: file }, log)
  t.teardown(ring.close)
  t.match(findKey(ring.keys() ?? [], ci ?? ''), { name: 'ci', admin: false })
  t.match(findKey(ring.keys() ?? [], ops ?? ''), { name: 'ops', admin: true })
  t.equal(findKey(ring.keys() ?? [], 'dyl_other'), null)
  await run(['list', '--file', file])
  t.same(
    printed().map(({ args }) => args[0]),
    ['ci', 'ops (admin)'],
  )
  await run(['remove', '--file', file, '--name', 'ci'])
  for (let i = 0; i < 100 && findKey(ring.keys() ?? [], ci ?? '') !== null; i++) await after(100)
  t.equal(findKey(ring.keys() ?? [], ci ?? ''), null, 'a running server notices')
  await writeFile(file, '{"keys": [')
  await after(6000)
  t.ok(findKey(ring.keys() ?? [], ops ?? ''), 'a broken file changes nothing')
})

t.test('what is wrong is named', async (t) => {
  const file = await place(t)
  t.capture(console, 'log')
  await run(['add', '--file', file, '--name', 'ci'])
  await t.rejects(run(['add', '--file', file, '--name', 'ci']), /there is a key 'ci' already/)
  await t.rejects(run(['add', '--file', file, '--name', 'a b']), /--name: expected letters/)
  await t.rejects(run(['remove', '--file', file, '--name', 'x']), /--name: expected one of ci, got 'x'/)
  await t.rejects(run(['add']), /Usage/)
  await writeFile(file, 'x')
  await t.rejects(run(['list', '--file', file]), /is no file of keys/)
  await t.rejects(openKeyRing({ ...none, API_KEYS_FILE: file }, log), /API_KEYS_FILE: .*: expected \{"keys"/)
  await t.rejects(openKeyRing({ ...none, API_KEYS_FILE: `${file}.not` }, log), /API_KEYS_FILE: .*ENOENT/)
})

t.test('an address that is reached from elsewhere wants keys, unless that is switched off by name', async (t) => {
  const away = { ...none, HOST: '0.0.0.0' }
  await t.rejects(
    openKeyRing(away, log),
    /HOST: 0\.0\.0\.0 is reached from elsewhere: expected API_KEYS, .* or AUTH=off/,
  )
  await t.rejects(openKeyRing({ ...none, AUTH: 'on' }, log), /AUTH: on needs keys/)
  t.equal((await openKeyRing({ ...away, AUTH: 'off' }, log)).keys(), null)
  t.equal((await openKeyRing(none, log)).keys(), null)
  t.equal((await openKeyRing(none, log)).localOnly, true)
  t.equal((await openKeyRing({ ...none, AUTH: 'off' }, log)).localOnly, false)
  const ring = await openKeyRing(
    { ...away, API_KEYS: 'ci=0123456789abcdef, fedcba9876543210', ADMIN_KEYS: 'root-0123456789abc' },
    log,
  )
  t.same(
    ring.keys()?.map(({ name, admin }) => [name, admin]),
    [
      ['ci', false],
      ['key-2', false],
      ['admin-1', true],
    ],
  )
  t.equal(findKey(ring.keys() ?? [], '0123456789abcdef')?.name, 'ci')
  await t.rejects(openKeyRing({ ...none, API_KEYS: 'short' }, log), /key-1: expected a key of at least 16 characters/)
  const hosts = [
    'localhost',
    '127.0.0.1',
    '127.1.2.3',
    '::1',
    '0.0.0.0',
    '::',
    '192.168.1.2',
    'localhost.example',
    '127.0.0.1.example',
  ]
  t.same(hosts.map(isLoopback), [true, true, true, true, false, false, false, false, false])
})
