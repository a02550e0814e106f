/** The Dockerfile and what it runs: what a linter would look for, and the checks of the build on files that must fail them. */
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import t from 'tap'
import { expand, parseDockerfile, type Stage } from '../../docker/image/dockerfile.ts'
import { isIgnored } from '../../docker/image/dockerignore.ts'
import { inRepository, knownSettings, textOf } from '../fixtures/deployment.ts'

const { args, stages } = parseDockerfile(textOf('Dockerfile'))
const images = stages.filter(({ name }) => ['cpu', 'cuda'].includes(name))
const textsOf = (stage: Stage, instruction: string) =>
  stage.steps.filter((step) => step.instruction === instruction).map(({ text }) => text)

t.test('the last stage, which a plain build makes, is for GPU nodes', async (t) => {
  t.equal(stages.at(-1)?.name, 'cuda')
  t.same(
    images.map(({ name }) => name),
    ['cpu', 'cuda'],
  )
})

t.test('every image runs as a user of its own, is probed by node, and gets signals itself', async (t) => {
  for (const stage of images) {
    const last = (instruction: string) => stage.steps.findLast((step) => step.instruction === instruction)
    t.match(last('USER')?.text, /^[1-9]\d{3,}$/, 'a numeric user, so that an orchestrator can tell that it is not root')
    const probe = last('HEALTHCHECK')
    t.equal(probe?.exec?.[0], 'node')
    t.match(probe?.exec?.[2], '/ready')
    t.same(last('ENTRYPOINT')?.exec, ['node', 'dist/cli/main.js'])
    t.same(last('CMD')?.exec, ['serve'])
    const user = stage.steps.findIndex(({ instruction }) => instruction === 'USER')
    const later = stage.steps.slice(user).filter(({ instruction }) => instruction === 'RUN')
    t.ok(later.length > 0, 'the program starts as that user')
    t.ok(later.every(({ exec }) => exec !== null))
  }
})

t.test('bases are pinned, packages are few, and no step installs what is only used to probe', async (t) => {
  for (const { name, from, steps } of stages) {
    t.match(expand(from, args), /^[\w./]+:\d+(\.\d+)*-?/, `${name}: a version`)
    for (const { instruction, text } of steps) {
      t.not(instruction, 'ADD')
      if (instruction !== 'RUN') continue
      t.notMatch(text, /\b(curl|wget|sudo)\b/)
      if (!text.includes('apt-get install')) continue
      t.match(text, '--no-install-recommends')
      t.match(text, 'rm -rf /var/lib/apt/lists/*', 'in the same layer')
    }
  }
})

t.test('settings are known ones, and none is a secret', async (t) => {
  for (const stage of images) {
    const names = textsOf(stage, 'ENV').flatMap((text) => text.split(/\s+/).map((pair) => pair.split('=')[0] ?? ''))
    const others = names.filter((name) => !/^(NODE_ENV|NVIDIA_\w+)$/.test(name) && !knownSettings.has(name))
    t.same(others, [])
    t.notMatch(names.join(' '), /KEY|TOKEN|PASSWORD|SECRET/)
  }
})

t.test('what is copied from the repository is there, and only that is sent to the build', async (t) => {
  const dockerignore = textOf('.dockerignore')
  const copied = stages
    .flatMap(({ steps }) => steps)
    .filter(({ instruction, flags }) => instruction === 'COPY' && !flags.has('from'))
    .flatMap(({ text }) => text.split(/\s+/).slice(0, -1))
  t.ok(copied.length > 10)
  for (const path of copied) {
    t.ok(existsSync(inRepository(path)), path)
    t.notOk(isIgnored(path, dockerignore), path)
  }
  const kept = ['src/cli/main.ts', 'models/adapters/e2e/dylora.json', 'docker/image/prune.sh']
  t.same(
    kept.filter((path) => isIgnored(path, dockerignore)),
    [],
  )
  const left = [
    '.git/config',
    'node_modules/zod/index.js',
    'docker/.env',
    'src/.env.local',
    'test/config.test.ts',
    'a.log',
  ]
  t.same(
    left.filter((path) => !isIgnored(path, dockerignore)),
    [],
  )
})

t.test('the provider is of the runtime’s release, and has a checksum', async (t) => {
  const { dependencies } = JSON.parse(textOf('package.json'))
  const pinned = textOf('docker/image/provider.txt')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
  t.equal(pinned.length, 1)
  t.match(pinned[0], new RegExp(`^onnxruntime-gpu==${dependencies['onnxruntime-node']} --hash=sha256:[0-9a-f]{64}$`))
  const provider = stages.find(({ name }) => name === 'provider')
  t.match(provider && textsOf(provider, 'RUN')[0], '--require-hashes')
})

const sh = (script: string, ...words: string[]) =>
  spawnSync('sh', [inRepository(`docker/image/${script}`), ...words], { encoding: 'utf8' })

function write(path: string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, '')
}

t.test('prune.sh takes other platforms away, and nothing where it does not know the layout', async (t) => {
  const modules = t.testdir()
  const runtime = join(modules, 'onnxruntime-node/bin/napi-v6')
  const kept = join(runtime, 'linux/x64/libonnxruntime.so.1')
  const left = ['darwin/arm64/a', 'win32/x64/b.dll', 'linux/arm64/c.so'].map((path) => join(runtime, path))
  for (const path of left) write(path)
  const early = sh('prune.sh', modules)
  t.match(early, { status: 1, stderr: /expected libonnxruntime.so.1/ })
  t.ok(left.every(existsSync))
  write(kept)
  t.equal(sh('prune.sh', modules).status, 0)
  t.ok(existsSync(kept))
  t.notOk(left.some(existsSync))
})

const runtimeDirectory = join(
  dirname(createRequire(import.meta.url).resolve('onnxruntime-node')),
  '../bin/napi-v6/linux/x64',
)
const runtime = join(runtimeDirectory, 'libonnxruntime.so.1')
if (process.platform === 'linux' && existsSync(runtime)) {
  t.test(
    'check-provider.sh refuses a provider that is not there, of another commit, or for another CUDA',
    async (t) => {
      const directory = t.testdir({ 'libonnxruntime_providers_shared.so': '' })
      const check = () => sh('check-provider.sh', directory, '13')
      t.match(check(), { status: 1, stderr: /expected libonnxruntime.so.1 in/ })
      copyFileSync(runtime, join(directory, 'libonnxruntime.so.1'))
      // A library all the same, but none of CUDA's.
      copyFileSync(runtime, join(directory, 'libonnxruntime_providers_cuda.so'))
      t.match(check(), { status: 1, stderr: /expected provider-commit in/ })
      writeFileSync(join(directory, 'provider-commit'), '0123456\n')
      t.match(check(), { status: 1, stderr: /expected one of commit [0-9a-f]{7,}, got 0123456/ })
      writeFileSync(join(directory, 'provider-commit'), sh('runtime-commit.sh', runtime).stdout)
      t.match(check(), { status: 1, stderr: /expected one linked against libcudart.so.13, got none/ })
    },
  )
}

t.test('a line that is no instruction is told', async (t) => {
  t.throws(() => parseDockerfile('FROM a:1 AS b\nRUM ls'), {
    message: /expected an instruction of a Dockerfile, got 'RUM ls'/,
  })
})
