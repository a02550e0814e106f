/** The options of `dylora experiment`. A preset is a row of values that options replace. */
import { parseArgs } from 'node:util'
import { errors } from '../../errors.ts'
import type { TrainingSettings } from '../../training/settings.ts'

export interface ExperimentOptions {
  readonly base: string
  readonly data: string
  readonly validation: string
  readonly test: string
  readonly out: string
  readonly report: string
  readonly preset: PresetName
  readonly seeds: readonly number[]
  readonly maxRank: number
  readonly loraRanks: readonly number[] | undefined
  readonly shared: Partial<TrainingSettings>
  readonly wide: boolean
  readonly candidates: boolean
  readonly only: readonly string[]
  readonly parallel: number
  readonly dryRun: boolean
  /** Test inputs that are generated for. */
  readonly limit: number
  /** Validation examples that the loss is measured on. */
  readonly lossExamples: number
  readonly maxNewTokens: number
}

interface Preset {
  readonly seeds: string
  readonly length: Partial<TrainingSettings>
  readonly limit: number
  readonly lossExamples: number
}

const all = Number.POSITIVE_INFINITY

// biome-ignore format: reads as a table
const presets = {
  small: { seeds: '42',       length: { steps: 500 }, limit: 100, lossExamples: 500 },
  full:  { seeds: '42,43,44', length: { epochs: 3 },  limit: all, lossExamples: all },
} as const satisfies Record<string, Preset>
type PresetName = keyof typeof presets

const described = {
  base: 'Base model directory',
  data: 'Training data: *.jsonl of {"context", "completion"}',
  validation: 'Held-out data of the same form: the loss is measured on it',
  test: 'References: *.jsonl or *.txt as for dylora evaluate; texts are generated for them',
  out: 'Directory of the experiment: runs/ and results.json',
  report: 'Markdown file of the report, charts in a directory beside it (<out>/report.md)',
  preset: 'small (500 steps, one seed, 100 test inputs) or full (3 epochs, seeds 42,43,44, all inputs) (full)',
  seeds: 'Seeds, such as 42,43,44',
  'max-rank': 'The highest rank (8; 64 with --wide)',
  'lora-ranks': 'Ranks that a LoRA is trained for (every one; powers of two with --wide)',
  steps: 'Optimizer steps of every training',
  epochs: 'Passes over the data of every training, unless steps are given',
  'batch-size': 'Sequences in a step (16)',
  'learning-rate': "The peak of adapters; the trainer's own unless given",
  runs: 'Only runs whose name contains one of these, such as lora-r8,seed42',
  parallel: 'Trainings at once, of one thread each (1)',
  limit: 'Test inputs to generate for, the first so many; 0 for all',
  'loss-examples': 'Validation examples for the loss; 0 for all',
  'max-new-tokens': 'Longest output in tokens (100)',
} as const

const flags = {
  wide: 'The wide range: DyLoRA and the recipe at 64 against LoRA at 1, 2, 4, ..., 64',
  candidates: 'Also what the recipe was chosen among, for the first seed',
  'dry-run': 'Print the plan with estimated FLOPs, and train nothing',
  'report-only': 'Write the report of results.json again; needs --out alone',
} as const

type Name = keyof typeof described
type Given = Readonly<Partial<Record<Name, string>>>

export function experimentHelp(): string {
  const lines = Object.entries({ ...described, ...flags }).map(([option, text]) => `  --${option.padEnd(15)} ${text}`)
  return [
    'Usage: dylora experiment --base <dir> --data <train.jsonl> --validation <file> --test <file> --out <dir> [options]',
    'Trains and measures every arm of the comparison, and goes on where it was stopped.',
    '',
    ...lines,
  ].join('\n')
}

export type Parsed =
  | { readonly kind: 'help' }
  | { readonly kind: 'report'; readonly out: string; readonly report: string }
  | { readonly kind: 'experiment'; readonly options: ExperimentOptions }

/** Throws `validation` naming the option. */
export function parseExperimentOptions(args: string[]): Parsed {
  const text = (names: object, type: 'string' | 'boolean') =>
    Object.fromEntries(Object.keys(names).map((name) => [name, { type }]))
  const { values } = parseArgs({
    args,
    options: { help: { type: 'boolean', short: 'h' }, ...text(described, 'string'), ...text(flags, 'boolean') },
  })
  const switches = values as Readonly<Partial<Record<keyof typeof flags | 'help', boolean>>>
  if (switches.help) return { kind: 'help' }
  const given = values as Given
  const out = required(given, 'out')
  const report = given.report ?? `${out}/report.md`
  if (switches['report-only']) return { kind: 'report', out, report }
  return { kind: 'experiment', options: { ...experimentOf(given, switches), out, report } }
}

function experimentOf(
  given: Given,
  switches: Readonly<Partial<Record<keyof typeof flags, boolean>>>,
): Omit<ExperimentOptions, 'out' | 'report'> {
  const preset = presetOf(given.preset ?? 'full')
  const wide = switches.wide ?? false
  const candidates = switches.candidates ?? false
  if (wide && candidates) throw errors.validation('--candidates is a part of the main plan: give it without --wide')
  return {
    base: required(given, 'base'),
    data: required(given, 'data'),
    validation: required(given, 'validation'),
    test: required(given, 'test'),
    preset,
    wide,
    candidates,
    seeds: list('seeds', given.seeds ?? presets[preset].seeds, 0),
    maxRank: count(given, 'max-rank', 1) ?? (wide ? 64 : 8),
    loraRanks: given['lora-ranks'] === undefined ? undefined : list('lora-ranks', given['lora-ranks'], 1),
    shared: sharedOf(given, presets[preset].length),
    only: given.runs?.split(',') ?? [],
    parallel: count(given, 'parallel', 1) ?? 1,
    dryRun: switches['dry-run'] ?? false,
    limit: countOrAll(given, 'limit') ?? presets[preset].limit,
    lossExamples: countOrAll(given, 'loss-examples') ?? presets[preset].lossExamples,
    maxNewTokens: count(given, 'max-new-tokens', 1) ?? 100,
  }
}

function sharedOf(given: Given, preset: Partial<TrainingSettings>): Partial<TrainingSettings> {
  const steps = count(given, 'steps', 1)
  const epochs = positive(given, 'epochs')
  const length = steps !== undefined ? { steps } : epochs !== undefined ? { epochs } : preset
  const learningRate = positive(given, 'learning-rate')
  const batchSize = count(given, 'batch-size', 1)
  return {
    ...length,
    ...(learningRate === undefined ? {} : { learningRate }),
    ...(batchSize === undefined ? {} : { batchSize }),
  }
}

function required(given: Given, name: Name): string {
  const value = given[name]
  if (!value) throw errors.validation(`--${name} is required: see dylora experiment --help`)
  return value
}

function presetOf(text: string): PresetName {
  if (Object.hasOwn(presets, text)) return text as PresetName
  throw errors.validation(`--preset: expected ${Object.keys(presets).join(' or ')}, got '${text}'`)
}

function count(given: Given, name: Name, least: number): number | undefined {
  const value = given[name]
  if (value === undefined) return undefined
  if (!/^\d{1,9}$/.test(value) || Number(value) < least)
    throw errors.validation(`--${name}: expected a whole number from ${least}, got '${value}'`)
  return Number(value)
}

function countOrAll(given: Given, name: Name): number | undefined {
  const value = count(given, name, 0)
  return value === 0 ? all : value
}

function positive(given: Given, name: Name): number | undefined {
  const value = given[name]
  if (value === undefined) return undefined
  const number = Number(value)
  if (!(number > 0 && number < 1e9)) throw errors.validation(`--${name}: expected a positive number, got '${value}'`)
  return number
}

/** Distinct, in the order given. */
function list(name: Name, text: string, least: number): number[] {
  const numbers = text.split(',').map(Number)
  if (!/^\d{1,9}(,\d{1,9})*$/.test(text) || numbers.some((number) => number < least))
    throw errors.validation(`--${name}: expected whole numbers from ${least} such as 1,2,4, got '${text}'`)
  return [...new Set(numbers)]
}
