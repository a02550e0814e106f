/**
 * Executes the steps of the Dockerfile in directories, by chroot, where no Docker engine runs; needs root.
 * `tsx docker/image/run-steps.ts --target cpu --work <dir> --base node=<root> --base python=<root>`: each base image is a
 * directory with a root file system, such as `debootstrap --variant=minbase` makes, with what the image is named for in it.
 * Leaves the root of each stage in the work directory, and the settings of the image in `<stage>.json` beside it.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { expand, parseDockerfile, type Stage, type Step, splitOnce } from './dockerfile.ts'
import { isIgnored } from './dockerignore.ts'

/** What the steps so far have set. */
interface Image {
  readonly root: string
  readonly env: Map<string, string>
  readonly settings: Map<string, string>
  directory: string
  user: string
}

const { values } = parseArgs({
  options: {
    target: { type: 'string', default: 'cuda' },
    work: { type: 'string' },
    base: { type: 'string', multiple: true, default: [] },
    /** Variables of this process that a step sees too, such as those that name a proxy's certificates. */
    env: { type: 'string', multiple: true, default: [] },
    /** Steps with this text are left out: their effect is in the base already. */
    skip: { type: 'string', multiple: true, default: [] },
  },
})
const { work, target } = values
if (work === undefined) throw new RangeError('expected --work <dir>')
const repository = fileURLToPath(new URL('../../', import.meta.url))
const bases = new Map(values.base.map((each) => splitOnce(each, '=')))
const passed = new Map(values.env.flatMap((name) => (process.env[name] ? [[name, process.env[name] as string]] : [])))
const { args, stages } = parseDockerfile(readFileSync(join(repository, 'Dockerfile'), 'utf8'))
const context = join(work, 'context')

function stageNamed(name: string): Stage {
  const stage = stages.find((each) => each.name === name)
  if (stage === undefined) throw new RangeError(`expected one of ${stages.map((each) => each.name)}, got ${name}`)
  return stage
}

/** What `.dockerignore` lets through of what git knows or would take. */
function fillContext(): void {
  const dockerignore = readFileSync(join(repository, '.dockerignore'), 'utf8')
  rmSync(context, { recursive: true, force: true })
  const words = ['ls-files', '--cached', '--others', '--exclude-standard']
  const files = spawnSync('git', words, { cwd: repository, encoding: 'utf8' }).stdout.split('\n')
  for (const path of files.filter((file) => file !== '' && !isIgnored(file, dockerignore))) {
    mkdirSync(dirname(join(context, path)), { recursive: true })
    cpSync(join(repository, path), join(context, path))
  }
}

function buildStage(stage: Stage): string {
  const root = join(work as string, stage.name)
  for (const { flags } of stage.steps) {
    const from = flags.get('from')
    if (from !== undefined && !existsSync(join(work as string, `${from}.json`))) buildStage(stageNamed(from))
  }
  console.log(`== ${stage.name}: ${expand(stage.from, args)}`)
  rmSync(root, { recursive: true, force: true })
  execute('cp', ['-a', baseOf(stage.from), root])
  const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
  const image: Image = { root, env: new Map([['PATH', path]]), settings: new Map(), directory: '/', user: '0' }
  for (const step of stage.steps) {
    const skipped = values.skip.some((text) => step.text.includes(text))
    console.log(`-- ${skipped ? 'left out: ' : ''}${step.instruction} ${step.text}`)
    if (skipped) continue
    actions[step.instruction]?.(image, step)
  }
  const settings = { ...Object.fromEntries(image.settings), env: Object.fromEntries(image.env), user: image.user }
  writeFileSync(`${root}.json`, `${JSON.stringify(settings, null, 2)}\n`)
  return root
}

function baseOf(from: string): string {
  const name = splitOnce(expand(from, args), ':')[0]
  const base = bases.get(name)
  if (base === undefined) throw new RangeError(`expected --base ${name}=<root file system>`)
  return base
}

/** What each instruction does; the others are settings that only a container engine reads. */
const remember = ({ settings }: Image, { instruction, text }: Step): void => {
  settings.set(instruction, text)
}
const actions: Readonly<Record<string, (image: Image, step: Step) => void>> = {
  ARG: ({ env }, { text }) => {
    const [name, value] = splitOnce(text, '=')
    env.set(name, args.get(name) ?? value)
  },
  ENV: ({ env }, { text }) => {
    for (const pair of text.split(/\s+/)) env.set(...splitOnce(pair, '='))
  },
  WORKDIR: (image, { text }) => {
    image.directory = text
    mkdirSync(join(image.root, text), { recursive: true })
  },
  USER: (image, { text }) => {
    image.user = text
  },
  COPY: copy,
  RUN: run,
  ENTRYPOINT: remember,
  CMD: remember,
  HEALTHCHECK: remember,
  EXPOSE: remember,
  STOPSIGNAL: remember,
}

function copy({ root, directory }: Image, { flags, text }: Step): void {
  const from = flags.get('from')
  const source = from === undefined ? context : join(work as string, from)
  const words = text.split(/\s+/)
  const [sources, destination = ''] = [words.slice(0, -1), words.at(-1)]
  const target = destination.startsWith('/') ? join(root, destination) : join(root, directory, destination)
  for (const each of sources) {
    const path = join(source, each)
    const intoDirectory = !statSync(path).isDirectory() && destination.endsWith('/')
    const to = intoDirectory ? join(target, basename(each)) : target
    mkdirSync(dirname(to), { recursive: true })
    cpSync(path, to, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true })
    execute('chown', ['-R', flags.get('chown') ?? '0:0', to])
  }
}

function run({ root, env, directory, user }: Image, { text, exec }: Step): void {
  const command = exec ?? ['/bin/sh', '-c', text]
  const script = `cd ${directory} && exec "$@"`
  execute('chroot', ['--userspec', `${user}:${user}`, root, '/bin/sh', '-c', script, 'sh', ...command], {
    ...Object.fromEntries(passed),
    ...Object.fromEntries(env),
    HOME: '/tmp',
  })
}

function execute(command: string, words: string[], env: NodeJS.ProcessEnv = process.env): void {
  const { status, error } = spawnSync(command, words, { stdio: 'inherit', env })
  if (error !== undefined || status !== 0)
    throw new Error(`${command} ${words.join(' ')}: exit ${status}`, { cause: error })
}

fillContext()
buildStage(stageNamed(target))
