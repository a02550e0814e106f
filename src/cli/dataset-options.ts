/** The options of `dylora dataset`. */
import { parseArgs } from 'node:util'
import { errors } from '../errors.ts'
import { catalogue, type DatasetName } from '../evaluation/datasets/catalogue.ts'

export interface DatasetOptions {
  readonly name: DatasetName
  readonly out: string
  /** A directory with the official files; without it they are downloaded. */
  readonly from: string | undefined
  readonly variant: string | undefined
}

const described = {
  out: 'Directory for the converted files; official files that are downloaded are kept in <out>.official',
  from: 'Directory with the official files (gzipped or not), instead of a download',
  variant: 'One form of the data set: of e2e, lora (tokenised, as the paper has it) or challenge (CSV)',
} as const

export function datasetHelp(): string {
  const options = Object.entries(described).map(([option, text]) => `  --${option.padEnd(9)} ${text}`)
  const rows = Object.entries(catalogue).map(([name, { licence }]) => `  ${name.padEnd(8)} ${licence}`)
  return [
    'Usage: dylora dataset <name> --out <dir> [--from <dir>] [--variant <variant>]',
    ...['', ...options, '', 'Data sets and their licences:', ...rows],
  ].join('\n')
}

/** Null when help is asked for. Throws `validation` naming the option. */
export function parseDatasetOptions(args: string[]): DatasetOptions | null {
  const text = { type: 'string' } as const
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { help: { type: 'boolean', short: 'h' }, out: text, from: text, variant: text },
  })
  if (values.help) return null
  const [name = '', ...rest] = positionals
  if (!isDataset(name) || rest.length > 0) {
    const known = Object.keys(catalogue).join(', ')
    throw errors.validation(
      `Expected one data set of ${known}, got '${positionals.join(' ')}': see dylora dataset --help`,
    )
  }
  if (!values.out) throw errors.validation('--out is required: see dylora dataset --help')
  return { name, out: values.out, from: values.from, variant: values.variant }
}

const isDataset = (name: string): name is DatasetName => Object.hasOwn(catalogue, name)
