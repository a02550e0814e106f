/** `dylora bench`: measurements that anyone can repeat. */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { bundled } from '../config.ts'
import { errors } from '../errors.ts'
import { baseDirectory } from './base-directory.ts'
import { benchAdapters } from './bench/adapters.ts'
import { benchmarksDocument } from './bench/document.ts'
import { benchLora } from './bench/lora.ts'
import { benchProfile } from './bench/profile.ts'
import { benchQuantization } from './bench/quantization.ts'
import { benchRanks } from './bench/ranks.ts'
import { type Findings, report, runOf } from './bench/report.ts'
import { type BenchOptions, scales } from './bench/scale.ts'
import { benchServe } from './bench/serve.ts'
import { benchSoak } from './bench/soak.ts'
import { benchTrain } from './bench/train.ts'

interface Options extends BenchOptions {
  readonly base: string | undefined
  readonly adapter: string
}

/** The findings of a benchmark that is one table. */
const single = (title: string, note: string, rows: readonly object[]): Findings => ({
  tables: [{ title, note, rows: rows.map((row) => ({ ...row })) }],
})

interface Benchmark {
  /** Does it take `--quick`? */
  readonly scaled: boolean
  readonly run: (options: Options) => Promise<Findings>
}

const benchmarks: Readonly<Record<string, Benchmark>> = {
  serve: { scaled: true, run: benchServe },
  lora: { scaled: true, run: benchLora },
  adapters: { scaled: true, run: benchAdapters },
  profile: { scaled: true, run: benchProfile },
  soak: { scaled: true, run: benchSoak },
  ranks: {
    scaled: false,
    run: async (options) => {
      const base = await baseDirectory(options.base, bundled.bases)
      return single(
        'Ranks',
        'a model and an adapter from files, prompts included; medians',
        await benchRanks({ ...options, base }),
      )
    },
  },
  train: {
    scaled: false,
    run: async ({ rounds, threads }) =>
      single('Training steps', 'medians', await benchTrain({ steps: rounds, threads })),
  },
  quantization: {
    scaled: false,
    run: async ({ rounds, threads }) =>
      single(
        'Stored in few bits',
        'decoding at the shape of GPT-2 small; medians',
        await benchQuantization({ rounds, threads }),
      ),
  },
}

const usage = [
  `Usage: dylora bench <${Object.keys(benchmarks).join('|')}> [--rounds n] [--threads n] [--json] [--quick]`,
  '       dylora bench ranks [--base dir] [--adapter dir]',
  '       dylora bench report <file of --json> ...    prints docs/benchmarks.md',
].join('\n')

export async function run(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      help: { type: 'boolean', short: 'h' },
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string', default: '10' },
      threads: { type: 'string', default: String(availableParallelism()) },
      base: { type: 'string' },
      adapter: { type: 'string', default: `${bundled.adapters}/e2e` },
    },
  })
  const [name = '', ...rest] = positionals
  if (values.help) console.log(usage)
  else if (name === 'report' && rest.length > 0) process.stdout.write(await benchmarksDocument(rest))
  else console.log(await measured(name, rest, values))
  return 0
}

interface Values {
  readonly json: boolean
  readonly quick: boolean
  readonly rounds: string
  readonly threads: string
  readonly base?: string | undefined
  readonly adapter: string
}

async function measured(name: string, rest: readonly string[], values: Values): Promise<string> {
  const benchmark = Object.hasOwn(benchmarks, name) ? benchmarks[name] : undefined
  if (benchmark === undefined || rest.length > 0) throw errors.validation(usage)
  const { base, adapter, json, quick } = values
  if (quick && !benchmark.scaled) throw errors.validation(`--quick: ${name} has one size`)
  const [rounds, threads] = [count(values.rounds), count(values.threads)]
  const scale = quick ? scales.quick : scales.full
  const findings = await benchmark.run({ base, adapter, rounds, threads, scale })
  // The goals are of the full shape: in a step of microseconds everything weighs more.
  const shown = quick ? { tables: findings.tables } : findings
  const settings = { ...(benchmark.scaled && { shape: scale.name }), rounds, threads }
  return report(runOf(name, settings, shown), json)
}

function count(text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw errors.validation(`expected a whole number from 1, got '${text}'`)
  return Number(text)
}
