/** The keys of a running server: from the environment, and from a file that may change while it runs. */
import { readFile, stat } from 'node:fs/promises'
import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import { errors } from '../errors.ts'
import { type AccessKey, hashOf, KeyFile, keysOf } from '../server/access-keys.ts'
import { isLoopback } from '../server/plugins/access.ts'

type Settings = Pick<Config, 'AUTH' | 'HOST' | 'API_KEYS' | 'ADMIN_KEYS' | 'API_KEYS_FILE'>

const lookEveryMs = 5000

export interface KeyRing {
  /** Null asks for none. */
  readonly keys: () => readonly AccessKey[] | null
  /** No key is asked for, because the address reaches this machine alone. */
  readonly localOnly: boolean
  readonly close: () => void
}

/**
 * @throws configuration_invalid where the address is reached from elsewhere and there is neither a key nor AUTH=off, and
 * for a file that is none
 */
export async function openKeyRing(settings: Settings, log: Logger): Promise<KeyRing> {
  const fixed = [...fromText('key', settings.API_KEYS, false), ...fromText('admin', settings.ADMIN_KEYS, true)]
  const { AUTH: mode, HOST: host, API_KEYS_FILE: file } = settings
  if (mode === 'off') return { ...noKeys, localOnly: false }
  if (file !== undefined) return watchedRing(fixed, file, log)
  if (fixed.length === 0) {
    if (mode === 'auto' && isLoopback(host)) return { ...noKeys, localOnly: true }
    throw errors.configurationInvalid([
      mode === 'on'
        ? 'AUTH: on needs keys: expected API_KEYS, ADMIN_KEYS or API_KEYS_FILE'
        : `HOST: ${host} is reached from elsewhere: expected API_KEYS, ADMIN_KEYS or API_KEYS_FILE, or AUTH=off`,
    ])
  }
  return { keys: () => fixed, localOnly: false, close: () => {} }
}

const noKeys = { keys: () => null, close: () => {} }

/** `key-1`, `key-2` in their order, unless a name comes before a key: `ci=dyl_…`. */
function fromText(kind: string, text: string | undefined, admin: boolean): AccessKey[] {
  const given = (text ?? '').split(',').map((one) => one.trim())
  return given
    .filter((one) => one !== '')
    .map((one, i) => {
      const [, name = `${kind}-${i + 1}`, key = one] = /^([\w.-]{1,64})=(.+)$/.exec(one) ?? []
      if (key.length < 16) throw errors.configurationInvalid([`${name}: expected a key of at least 16 characters`])
      return { name, sha256: hashOf(key), admin }
    })
}

/** A file that became unreadable leaves the keys as they were, and says so. */
async function watchedRing(fixed: readonly AccessKey[], file: string, log: Logger): Promise<KeyRing> {
  let current = [...fixed, ...(await readKeyFile(file))]
  let seen = await fingerprint(file)
  const look = async () => {
    const now = await fingerprint(file)
    if (now === seen) return
    seen = now
    try {
      current = [...fixed, ...(await readKeyFile(file))]
      log.info({ keys: current.length }, 'the keys were read again')
    } catch (error) {
      log.error({ err: error }, 'the keys stay as they were')
    }
  }
  const timer = setInterval(() => void look(), lookEveryMs)
  timer.unref()
  return { keys: () => current, localOnly: false, close: () => clearInterval(timer) }
}

async function fingerprint(file: string): Promise<string> {
  const facts = await stat(file).catch(() => null)
  return facts === null ? 'gone' : `${facts.ino} ${facts.size} ${facts.mtimeMs}`
}

async function readKeyFile(file: string): Promise<AccessKey[]> {
  const wrong = (reason: string) => errors.configurationInvalid([`API_KEYS_FILE: ${file}: ${reason}`])
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw wrong(error.code ?? error.message)
  })
  try {
    return keysOf(KeyFile.parse(JSON.parse(text)))
  } catch {
    throw wrong('expected {"keys": [{"name", "sha256", "admin"}]}, as `dylora keys add` writes it')
  }
}
