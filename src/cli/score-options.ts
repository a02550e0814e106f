/** The options of `dylora score`. */
import { parseArgs } from 'node:util'
import { errors } from '../errors.ts'
import { type Task, tasks } from '../evaluation/tasks.ts'

export interface ScoreOptions {
  readonly taskName: string
  readonly task: Task
  readonly references: readonly string[]
  readonly hypotheses: string
  /** Another system's outputs to compare with. */
  readonly against: string | undefined
  /** Names of the metrics to print; all of the task where it is undefined. */
  readonly metrics: readonly string[] | undefined
  readonly json: boolean
  /** Resamples of the bootstrap; 0 for no intervals. */
  readonly bootstrap: number
  readonly seed: number
}

const described = {
  task: 'e2e, webnlg, dart or glue/<task>',
  references: 'Reference file, or several',
  hypotheses: "The system's outputs or predictions",
  against: 'Outputs of another system, for a paired comparison',
  metrics: 'Metrics to print, by their names, such as BLEU,TER (all)',
  bootstrap: 'Resamples for 95 % intervals (none; with --against 1000)',
  seed: 'Seed of the bootstrap (42)',
  json: 'Print one JSON object, unrounded',
} as const

export function scoreHelp(): string {
  const options = Object.entries(described).map(([option, text]) => `  --${option.padEnd(12)} ${text}`)
  const files = ({ references, hypotheses }: Task) => `    references: ${references}\n    hypotheses: ${hypotheses}`
  const distinct = [...new Set([...tasks.values()].map(files))]
  const formats = distinct.map((text) => {
    const names = [...tasks].filter(([, task]) => files(task) === text).map(([name]) => name)
    return `  ${names.join(', ')}\n${text}`
  })
  return [
    'Usage: dylora score --task <task> --references <file...> --hypotheses <file> [options]',
    ...['', ...options, '', 'Tasks and files (UTF-8, gzipped or not):', ...formats],
  ].join('\n')
}

/** Null when help is asked for. Throws `validation` naming the option. */
export function parseScoreOptions(args: string[]): ScoreOptions | null {
  const { values, tokens } = parseArgs({
    args,
    allowPositionals: true,
    tokens: true,
    options: {
      help: { type: 'boolean', short: 'h' },
      json: { type: 'boolean' },
      references: { type: 'string', multiple: true },
      task: { type: 'string' },
      hypotheses: { type: 'string' },
      against: { type: 'string' },
      metrics: { type: 'string' },
      bootstrap: { type: 'string' },
      seed: { type: 'string' },
    },
  })
  if (values.help) return null
  const given = tokens.flatMap((token) => (token.kind === 'option' && token.name !== 'references' ? [token.name] : []))
  const twice = given.find((name, i) => given.indexOf(name) < i)
  if (twice !== undefined)
    throw errors.validation(`--${twice}: expected once, got it ${given.filter((name) => name === twice).length} times`)
  const taskName = required('task', values.task)
  const task = taskOf(taskName)
  const references = referencesOf(tokens)
  if (references.length === 0) throw missing('references')
  if (references.length > 1 && !/^(webnlg|dart)$/.test(taskName)) {
    throw errors.validation(`--references: expected one file for ${taskName}, got ${references.join(', ')}`)
  }
  return {
    taskName,
    task,
    references,
    hypotheses: required('hypotheses', values.hypotheses),
    against: values.against,
    metrics: values.metrics?.split(',').map((name) => name.trim()),
    json: values.json ?? false,
    bootstrap:
      values.against === undefined
        ? (count('bootstrap', values.bootstrap, 0) ?? 0)
        : (count('bootstrap', values.bootstrap, 1) ?? 1000),
    seed: count('seed', values.seed, 0) ?? 42,
  }
}

type Token =
  | { readonly kind: 'option'; readonly name: string; readonly value?: string | undefined }
  | { readonly kind: 'positional'; readonly value: string }
  | { readonly kind: 'option-terminator' }

/** Files that follow `--references` belong to it; a file anywhere else is a mistake. */
function referencesOf(tokens: readonly Token[]): string[] {
  const files: string[] = []
  let option = ''
  for (const token of tokens) {
    if (token.kind === 'option') option = token.name
    if (token.kind === 'option' && token.name === 'references' && token.value) files.push(token.value)
    if (token.kind !== 'positional') continue
    if (option !== 'references')
      throw errors.validation(`Expected an option, got '${token.value}': see dylora score --help`)
    files.push(token.value)
  }
  return files
}

function taskOf(name: string): Task {
  const task = tasks.get(name)
  if (task === undefined)
    throw errors.validation(`--task: expected one of ${[...tasks.keys()].join(', ')}, got '${name}'`)
  return task
}

const missing = (name: string) => errors.validation(`--${name} is required: see dylora score --help`)

function required(name: string, value: string | undefined): string {
  if (!value) throw missing(name)
  return value
}

function count(name: string, value: string | undefined, least: number): number | undefined {
  if (value === undefined) return undefined
  if (!/^\d{1,9}$/.test(value) || Number(value) < least) {
    throw errors.validation(`--${name}: expected a whole number from ${least}, got '${value}'`)
  }
  return Number(value)
}
