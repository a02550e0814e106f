/** The options of `dylora evaluate`. */
import { basename } from 'node:path'
import { parseArgs } from 'node:util'
import { errors } from '../errors.ts'
import type { Split } from '../evaluation/curve.ts'

export interface EvaluateOptions {
  readonly base: string
  readonly adapter: string
  readonly data: string
  readonly split: Split
  /** The data's name in the curve. */
  readonly name: string
  readonly ranks: 'all' | readonly number[]
  readonly lossExamples: number
  readonly limit: number
  readonly concurrency: number
  readonly maxNewTokens: number
  readonly outputs: string | undefined
}

const described = {
  base: 'Base model directory',
  adapter: 'Adapter directory; the measured curve is written into it',
  data: 'References: *.jsonl of {"context", "completion"} or {"context", "references"}, or *.txt of context||completion',
  split: 'What the data is: validation (what rank=auto reads) or test',
  name: "The data's name in the curve; the file's name unless given",
  ranks: 'all (every trained rank, and 0 for the base model), or a list such as 1,4,8 (all)',
  'loss-examples': 'Examples that the loss is measured on; 0 for none (1000)',
  limit: 'Contexts to evaluate, the first so many; 0 for all (0)',
  concurrency: 'Generations under way at once (16)',
  'max-new-tokens': 'Longest output in tokens (100)',
  outputs: 'Directory for the generated texts, one file for each rank',
} as const

export function evaluateHelp(): string {
  const lines = Object.entries(described).map(([option, text]) => `  --${option.padEnd(16)} ${text}`)
  return [
    'Usage: dylora evaluate --base <dir> --adapter <dir> --data <file> --split <split> [options]',
    '',
    ...lines,
  ].join('\n')
}

/** Null when help is asked for. Throws `validation` naming the option. */
export function parseEvaluateOptions(args: string[]): EvaluateOptions | null {
  const { values } = parseArgs({
    args,
    options: {
      help: { type: 'boolean', short: 'h' },
      ...Object.fromEntries(Object.keys(described).map((name) => [name, { type: 'string' as const }])),
    },
  })
  if (values.help) return null
  const given = values as Readonly<Partial<Record<keyof typeof described, string>>>
  const data = required(given, 'data')
  return {
    base: required(given, 'base'),
    adapter: required(given, 'adapter'),
    data,
    split: splitOf(required(given, 'split')),
    name: given.name ?? basename(data).replace(/\..*$/, ''),
    ranks: ranksOf(given.ranks ?? 'all'),
    lossExamples: count(given, 'loss-examples', 0) ?? 1000,
    limit: count(given, 'limit', 0) || Number.POSITIVE_INFINITY,
    concurrency: count(given, 'concurrency', 1) ?? 16,
    maxNewTokens: count(given, 'max-new-tokens', 1) ?? 100,
    outputs: given.outputs,
  }
}

type Given = Readonly<Partial<Record<keyof typeof described, string>>>

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
