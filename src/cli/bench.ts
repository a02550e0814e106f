/** `dylora bench`: measurements that anyone can repeat. */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { errors } from '../errors.ts'
import { report } from './bench-report.ts'
import { benchTrain } from './bench-train.ts'

type Row = Readonly<Record<string, string | number>>
interface BenchOptions {
  readonly steps: number
  readonly threads: number
}

const benchmarks: Readonly<Record<string, (options: BenchOptions) => Promise<readonly Row[]>>> = {
  train: async (options) => (await benchTrain(options)).map((row) => ({ ...row })),
}

const usage = `Usage: dylora bench <${Object.keys(benchmarks).join('|')}> [--steps n] [--threads n] [--json]`

export async function run(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      help: { type: 'boolean', short: 'h' },
      json: { type: 'boolean' },
      steps: { type: 'string', default: '10' },
      threads: { type: 'string', default: String(availableParallelism()) },
    },
  })
  const [name = '', ...rest] = positionals
  const benchmark = Object.hasOwn(benchmarks, name) ? benchmarks[name] : undefined
  if (values.help) console.log(usage)
  else if (benchmark === undefined || rest.length > 0) throw errors.validation(usage)
  else
    console.log(
      report(
        name,
        await benchmark({ steps: count(values.steps), threads: count(values.threads) }),
        values.json ?? false,
      ),
    )
  return 0
}

function count(text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw errors.validation(`expected a whole number from 1, got '${text}'`)
  return Number(text)
}
