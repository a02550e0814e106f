/** The options of `dylora evaluate`. */
import { basename } from 'node:path'
import { parseArgs } from 'node:util'
import { errors } from '../errors.ts'
import type { Split } from '../evaluation/curve.ts'
import { evaluatedMetrics } from '../evaluation/evaluate.ts'
import { dataName, defaultLossExamples, defaultRows, type EvaluationSettings } from './adapter-evaluation.ts'
import { type Decoding, greedyDecoding } from './decoding.ts'
import { defaultMetrics, parseMetrics } from './metric-option.ts'

export interface EvaluateOptions extends EvaluationSettings {
  readonly base: string | undefined
  readonly adapter: string
  readonly data: string
  readonly split: Split
  /** The data's name in the curve. */
  readonly name: string
  readonly limit: number
  readonly outputs: string | undefined
  readonly json: boolean
}

const described = {
  base: 'Base model directory; the one under models/base that the adapter names unless given',
  adapter: 'Adapter directory; the measured curve is written into it',
  data: 'References: *.jsonl of {"context", "completion"} or {"context", "references"}, or *.txt of context||completion',
  split: 'What the data is: validation (what rank=auto reads) or test; by default test where its file name says so',
  name: "The data's name in the curve; the file's name unless given",
  ranks: 'all (every trained rank, and 0 for the base model), or a list such as 1,4,8 (all)',
  metrics: `The first is the primary one (${defaultMetrics.join(',')})`,
  'num-beams': 'Beams of the search; 1 is greedy (1)',
  'length-penalty': 'Power of the length that the score of a beam is divided by (1)',
  'no-repeat-ngram-size': 'No run of so many tokens comes twice in a text; 0 bans none (0)',
  'max-new-tokens': 'Longest output in tokens (100)',
  'loss-examples': 'Examples that loss and perplexity are measured on; 0 for none (1000)',
  limit: 'Contexts to evaluate, the first so many; 0 for all (0)',
  concurrency: 'Rows of a batch, which a text takes one of, or one for each beam (16, or 4 texts of a search)',
  threads: 'Threads of the runtime; all cores unless given',
  outputs: "Directory for the generated texts, one file for each rank; the adapter's outputs/ unless given",
} as const

type Given = Readonly<Partial<Record<keyof typeof described, string>>>

export function evaluateHelp(): string {
  const lines = Object.entries({ ...described, json: 'Print one JSON object with unrounded numbers' }).map(
    ([option, text]) => `  --${option.padEnd(21)} ${text}`,
  )
  return [
    'Usage: dylora evaluate --adapter <dir> --data <file> [options]',
    '',
    ...lines,
    '',
    `Metrics: ${evaluatedMetrics.join(', ')}.`,
    "The paper's decoding: --num-beams 10 --length-penalty 0.8 --no-repeat-ngram-size 4. Such points stand beside the",
    'greedy ones in the curve, and rank=auto goes by the greedy ones.',
  ].join('\n')
}

/** Null when help is asked for. Throws `validation` naming the option. */
export function parseEvaluateOptions(args: string[]): EvaluateOptions | null {
  const { values } = parseArgs({
    args,
    options: {
      help: { type: 'boolean', short: 'h' },
      json: { type: 'boolean' },
      ...Object.fromEntries(Object.keys(described).map((name) => [name, { type: 'string' as const }])),
    },
  })
  if (values.help) return null
  const given = values as Given
  const data = required(given, 'data')
  const decoding = decodingOf(given)
  return {
    base: given.base,
    adapter: required(given, 'adapter'),
    data,
    split: given.split === undefined ? splitByName(data) : splitOf(given.split),
    name: given.name ?? dataName(data),
    ranks: ranksOf(given.ranks ?? 'all'),
    metrics: parseMetrics(given.metrics),
    decoding,
    lossExamples: count(given, 'loss-examples', 0) ?? defaultLossExamples,
    limit: count(given, 'limit', 0) || Number.POSITIVE_INFINITY,
    rows: count(given, 'concurrency', 1) ?? defaultRows(decoding),
    threads: count(given, 'threads', 1),
    outputs: given.outputs,
    json: values.json === true,
  }
}

const splitByName = (file: string): Split => (/(^|[^a-z])test/i.test(basename(file)) ? 'test' : 'validation')

function decodingOf(given: Given): Decoding {
  const beams = count(given, 'num-beams', 1) ?? greedyDecoding.beams
  const penalty = given['length-penalty']
  if (penalty !== undefined && beams === 1) throw errors.validation('--length-penalty needs --num-beams from 2')
  if (penalty !== undefined && !/^-?\d{1,3}(\.\d{1,6})?$/.test(penalty)) {
    throw errors.validation(`--length-penalty: expected a number such as 0.8, got '${penalty}'`)
  }
  return {
    beams,
    lengthPenalty: Number(penalty ?? greedyDecoding.lengthPenalty),
    noRepeatNgramSize: count(given, 'no-repeat-ngram-size', 0) ?? greedyDecoding.noRepeatNgramSize,
    maxNewTokens: count(given, 'max-new-tokens', 1) ?? greedyDecoding.maxNewTokens,
  }
}

function required(given: Given, name: keyof typeof described): string {
  const value = given[name]
  if (!value) throw errors.validation(`--${name} is required: see dylora evaluate --help`)
  return value
}

function count(given: Given, name: keyof typeof described, least: number): number | undefined {
  const value = given[name]
  if (value === undefined) return undefined
  if (!/^\d{1,9}$/.test(value) || Number(value) < least) {
    throw errors.validation(`--${name}: expected a whole number from ${least}, got '${value}'`)
  }
  return Number(value)
}

function splitOf(text: string): Split {
  if (text !== 'validation' && text !== 'test')
    throw errors.validation(`--split: expected validation or test, got '${text}'`)
  return text
}

function ranksOf(text: string): 'all' | number[] {
  if (text === 'all') return 'all'
  if (!/^\d{1,4}(,\d{1,4})*$/.test(text))
    throw errors.validation(`--ranks: expected all, or ranks such as 1,4,8, got '${text}'`)
  return [...new Set(text.split(',').map(Number))].sort((a, b) => a - b)
}
