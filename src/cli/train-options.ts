/** The options of `dylora train`, made from the schema of the settings, so that both always agree. */
import { parseArgs } from 'node:util'
import { targetModules } from '../dylora/adapter.ts'
import { errors } from '../errors.ts'
import type { EvaluatedMetric } from '../evaluation/evaluate.ts'
import { movesTooMany, type RecipeName, recipes, TrainingSettings } from '../training/settings.ts'
import { defaultMetrics, parseMetrics } from './metric-option.ts'

export interface TrainOptions {
  readonly base: string
  readonly data: string
  readonly validation: string | undefined
  readonly out: string
  readonly resume: boolean
  readonly device: 'auto' | 'cpu' | 'cuda'
  readonly deviceId: number
  readonly threads: number | undefined
  readonly logEvery: number
  readonly checkpointEvery: number
  readonly validateEvery: number
  /** Looks without a lower loss; 0 for never. */
  readonly earlyStopping: number
  /** Files of references. */
  readonly evaluate: string | undefined
  readonly test: string | undefined
  readonly metrics: readonly EvaluatedMetric[]
  readonly settings: TrainingSettings
}

/** Options that are not part of the result: where things are, and how often something is said or saved. */
const ownOptions = {
  base: 'Base model directory',
  data: 'Training data: *.jsonl of {"context", "completion"}, or text whose documents end with <|endoftext|>',
  validation: 'Held-out data of the same form',
  recipe: 'Named settings that the options below change: stratified, or paper (stratified)',
  out: 'Directory that the adapter (of a full training, the base model) is written to',
  resume: 'Go on from the checkpoint of an interrupted run',
  device: 'cpu, cuda, or auto, which takes CUDA where it is there (cpu)',
  'device-id': 'Which CUDA device (0)',
  threads: 'Threads of the runtime; all cores unless given',
  'log-every': 'Steps between two lines where output is no terminal (20)',
  'checkpoint-every': 'Steps between two checkpoints (100)',
  'validate-every': 'Steps between two looks at the validation loss; 0 for only at the end (0)',
  'early-stopping':
    'Looks in a row at which the mean validation loss over the ranks does not fall that end the training; the best factors are kept (0, never)',
  evaluate:
    'References of validation: at the end, texts are generated at every rank, scored, and the curve comes with the adapter',
  test: 'References of the test split, measured in the same way',
  metrics: `Of these measurements; the first is what rank=auto reads (${defaultMetrics.join(',')})`,
} as const

export const kebab = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

/** Option name -> name of the setting. */
const settingNames: Readonly<Record<string, string>> = Object.fromEntries(
  Object.keys(TrainingSettings.shape).map((name) => [kebab(name), name]),
)

/** The arguments that give a run these settings. */
export function settingArguments(settings: Partial<TrainingSettings>): string[] {
  return Object.entries(settings).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${kebab(name)}`, String(value)],
  )
}

export function trainHelp(): string {
  const settings = Object.entries(settingNames).map(([option, name]): [string, string] => {
    const schema = TrainingSettings.shape[name as keyof TrainingSettings]
    const fallback = schema.safeParse(undefined)
    const value = fallback.success && fallback.data !== undefined ? ` (${[fallback.data].flat().join(',')})` : ''
    return [option, `${schema.description ?? ''}${value}`]
  })
  const lines = [...Object.entries(ownOptions), ...settings].map(([option, text]) => `  --${option.padEnd(18)} ${text}`)
  return ['Usage: dylora train --base <dir> --data <file> --out <dir> [options]', '', ...lines].join('\n')
}

/** Null when help is asked for. Throws `validation` naming the option. */
export function parseTrainOptions(args: string[]): TrainOptions | null {
  const names = [...Object.keys(ownOptions).filter((name) => name !== 'resume'), ...Object.keys(settingNames)]
  const { values } = parseArgs({
    args,
    options: {
      help: { type: 'boolean', short: 'h' },
      resume: { type: 'boolean' },
      ...Object.fromEntries(names.map((name) => [name, { type: 'string' as const }])),
    },
  })
  if (values.help) return null
  const given = values as Readonly<Record<string, string | boolean | undefined>>
  const settings = parseSettings(given)
  const text = (name: keyof typeof ownOptions) => given[name] as string | undefined
  const options = {
    base: required(given, 'base'),
    data: required(given, 'data'),
    out: required(given, 'out'),
    validation: text('validation'),
    resume: given.resume === true,
    device: deviceOf(text('device')),
    deviceId: count(given, 'device-id', 0) ?? 0,
    threads: count(given, 'threads', 1),
    logEvery: count(given, 'log-every', 1) ?? 20,
    checkpointEvery: count(given, 'checkpoint-every', 1) ?? 100,
    validateEvery: count(given, 'validate-every', 0) ?? 0,
    earlyStopping: count(given, 'early-stopping', 0) ?? 0,
    evaluate: text('evaluate'),
    test: text('test'),
    metrics: parseMetrics(text('metrics')),
    settings,
  }
  checkTogether(options)
  return options
}

/** What one option needs of another. */
function checkTogether(options: TrainOptions): void {
  const { earlyStopping, validation, validateEvery, evaluate, test, settings } = options
  if (earlyStopping > 0 && (validation === undefined || validateEvery === 0)) {
    throw errors.validation('--early-stopping looks at the validation loss: it needs --validation and --validate-every')
  }
  if (settings.method !== 'full') return
  if (earlyStopping > 0) throw errors.validation('--early-stopping is of adapters: it does not go with --method full')
  if (evaluate !== undefined || test !== undefined) {
    throw errors.validation('--evaluate and --test measure an adapter: they do not go with --method full')
  }
}

const devices = ['auto', 'cpu', 'cuda'] as const

function deviceOf(given = 'cpu'): TrainOptions['device'] {
  const device = devices.find((name) => name === given)
  if (device === undefined) throw errors.validation(`--device: expected ${devices.join(', ')}, got '${given}'`)
  return device
}

type Given = Readonly<Record<string, string | boolean | undefined>>

function required(given: Given, name: string): string {
  const value = given[name]
  if (typeof value !== 'string' || value === '')
    throw errors.validation(`--${name} is required: see dylora train --help`)
  return value
}

function count(given: Given, name: string, least: number): number | undefined {
  const value = given[name]
  if (value === undefined) return undefined
  if (!/^\d+$/.test(String(value)) || Number(value) < least) {
    throw errors.validation(`--${name}: expected a whole number from ${least}, got '${String(value)}'`)
  }
  return Number(value)
}

function parseSettings(given: Given): TrainingSettings {
  const settings = Object.entries(settingNames).flatMap(([option, name]) =>
    given[option] === undefined ? [] : [[name, settingValue(name, String(given[option]))]],
  )
  const parsed = TrainingSettings.safeParse({ ...recipes[recipeOf(given)], ...Object.fromEntries(settings) })
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw errors.validation(`--${kebab(String(issue?.path[0]))}: ${issue?.message}`)
  }
  if (movesTooMany(parsed.data)) {
    throw errors.validation('--update frozen moves one row a step and needs --rank-per batch, as in --recipe paper')
  }
  return parsed.data
}

function recipeOf({ recipe = 'stratified' }: Given): RecipeName {
  if (Object.hasOwn(recipes, String(recipe))) return recipe as RecipeName
  throw errors.validation(`--recipe: expected ${Object.keys(recipes).join(' or ')}, got '${String(recipe)}'`)
}

function settingValue(name: string, text: string): unknown {
  if (name === 'targetModules') return text === 'all' ? [...targetModules] : text.split(',')
  return text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : text
}
