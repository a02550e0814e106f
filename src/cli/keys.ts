/** `dylora keys`: makes API keys, of which the file keeps the hashes alone. */
import { readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { publishFile } from '../dylora/publish.ts'
import { errors } from '../errors.ts'
import { hashOf, KeyFile, keyName, randomKey } from '../server/access-keys.ts'

const usage = `Usage: dylora keys <add|list|remove> --file <keys.json> [--name <name>] [--admin]

  add     makes a key of this name, writes its SHA-256 into the file and prints the key, once
  list    prints the names
  remove  takes the key of this name out

A running server with API_KEYS_FILE takes a changed file within seconds.`

const actions = { add, list, remove } as const

interface Options {
  readonly file: string
  readonly name: string
  readonly admin: boolean
}

export async function run(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      help: { type: 'boolean' },
      file: { type: 'string' },
      name: { type: 'string', default: '' },
      admin: { type: 'boolean', default: false },
    },
  })
  const [action = '', ...rest] = positionals
  if (values.help) console.log(usage)
  else if (!Object.hasOwn(actions, action) || values.file === undefined || rest.length > 0)
    throw errors.validation(usage)
  else await actions[action as keyof typeof actions]({ ...values, file: values.file })
  return 0
}

async function add({ file, name, admin }: Options): Promise<void> {
  const { keys } = await read(file)
  if (!keyName.safeParse(name).success)
    throw errors.validation(`--name: expected letters, digits, '.', '-', '_', got '${name}'`)
  if (keys.some((key) => key.name === name)) throw errors.validation(`--name: there is a key '${name}' already`)
  const key = randomKey()
  const sha256 = Buffer.from(hashOf(key)).toString('hex')
  await write(file, { keys: [...keys, { name, sha256, admin }] })
  console.log(key)
}

async function list({ file }: Options): Promise<void> {
  for (const { name, admin } of (await read(file)).keys) console.log(`${name}${admin ? ' (admin)' : ''}`)
}

async function remove({ file, name }: Options): Promise<void> {
  const { keys } = await read(file)
  if (!keys.some((key) => key.name === name)) {
    throw errors.validation(
      `--name: expected one of ${keys.map((key) => key.name).join(', ') || 'none'}, got '${name}'`,
    )
  }
  await write(file, { keys: keys.filter((key) => key.name !== name) })
}

/** A file that is not there yet has no keys. */
async function read(file: string): Promise<KeyFile> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '{"keys":[]}'
    throw errors.validation(`--file: ${file}: ${error.code ?? error.message}`)
  })
  try {
    return KeyFile.parse(JSON.parse(text))
  } catch {
    throw errors.validation(`--file: ${file} is no file of keys`)
  }
}

const write = (file: string, content: KeyFile): Promise<void> =>
  publishFile(file, async (handle) => {
    await handle.chmod(0o600)
    await handle.writeFile(`${JSON.stringify(content, null, 2)}\n`)
  })
