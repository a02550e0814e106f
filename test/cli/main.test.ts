import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs the command line to its end. */
async function dylora(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  const child = spawn(process.execPath, ['--import', 'tsx', main, ...args], { env: { ...process.env, ...env } })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk) => {
    stdout += chunk
  })
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, stdout, stderr }
}

t.test('prints the table of commands', async (t) => {
  const { code, stdout } = await dylora(['--help'])
  t.equal(code, 0)
  for (const command of ['serve', 'train', 'evaluate', 'import', 'export', 'bench', 'openapi']) {
    t.match(stdout, new RegExp(`^  ${command} +[A-Z]`, 'm'))
  }
})

t.test('prints the version of the package', async (t) => {
  t.match((await dylora(['--version'])).stdout, /^\d+\.\d+\.\d+\n$/)
})

t.test('suggests a command for one that is nearly right', async (t) => {
  const { code, stdout, stderr } = await dylora(['srve'])
  t.same([code, stdout, stderr], [1, '', "dylora: There is no command 'srve'; did you mean serve?\n"])
  t.match((await dylora(['quantise'])).stderr, /^dylora: There is no command 'quantise': see dylora --help\n$/)
})

t.test('answers a mistake of the user with one line and no stack', async (t) => {
  const unknown = await dylora(['serve', '--prot', '80'])
  t.equal(unknown.code, 1)
  t.match(unknown.stderr, /^dylora: .*--prot.*\n$/)
  const wrong = await dylora(['serve'], { PORT: 'eighty' })
  t.match(wrong, {
    code: 1,
    stderr: "dylora: Configuration: PORT: expected a whole number from 0 to 65535, got 'eighty'\n",
  })
  const nowhere = await dylora(['serve', '--base-model', '/no/such/base'])
  t.equal(nowhere.code, 1)
  t.match(nowhere.stderr, /^dylora: Base model '\/no\/such\/base' is not usable: .*\n$/)
})

t.test('lists every setting of the server, flags beside variables', async (t) => {
  const { code, stdout } = await dylora(['serve', '--help'])
  t.equal(code, 0)
  t.match(stdout, /^ {2}--max-waiting-requests .*\(128\)$/m)
})
