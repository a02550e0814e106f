/** `dylora bench`: measurements that anyone can repeat. */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { bundled } from '../config.ts'
import { errors } from '../errors.ts'
import { baseDirectory } from './base-directory.ts'
import { benchQuantization } from './bench-quantization.ts'
import { report } from './bench-report.ts'
import { benchServe } from './bench-serve.ts'
import { benchTrain } from './bench-train.ts'

type Row = Readonly<Record<string, string | number>>

interface BenchOptions {
  readonly rounds: number
  readonly threads: number
  readonly base: string | undefined
  readonly adapter: string
}

const spread = (rows: readonly object[]): Row[] => rows.map((row) => ({ ...row }))

const benchmarks: Readonly<Record<string, (options: BenchOptions) => Promise<readonly Row[]>>> = {
  train: async ({ rounds, threads }) => spread(await benchTrain({ steps: rounds, threads })),
  quantization: async ({ rounds, threads }) => spread(await benchQuantization({ rounds, threads })),
  serve: async (options) =>
    spread(await benchServe({ ...options, base: await baseDirectory(options.base, bundled.bases) })),
}

const usage = `Usage: dylora bench <${Object.keys(benchmarks).join('|')}> [--rounds n] [--threads n] [--base dir] [--adapter dir] [--json]`

export async function run(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      help: { type: 'boolean', short: 'h' },
      json: { type: 'boolean', default: false },
      rounds: { type: 'string', default: '10' },
      threads: { type: 'string', default: String(availableParallelism()) },
      base: { type: 'string' },
      adapter: { type: 'string', default: `${bundled.adapters}/e2e` },
    },
  })
  const [name = '', ...rest] = positionals
  const benchmark = Object.hasOwn(benchmarks, name) ? benchmarks[name] : undefined
  if (values.help) console.log(usage)
  else if (benchmark === undefined || rest.length > 0) throw errors.validation(usage)
  else {
    const { base, adapter, json } = values
    const rows = await benchmark({ base, adapter, rounds: count(values.rounds), threads: count(values.threads) })
    console.log(report(name, rows, json))
  }
  return 0
}

function count(text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw errors.validation(`expected a whole number from 1, got '${text}'`)
  return Number(text)
}
