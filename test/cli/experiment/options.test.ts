/** The options of `dylora experiment`: presets, what replaces them, and mistakes named. */
import t from 'tap'
import { type ExperimentOptions, experimentHelp, parseExperimentOptions } from '../../../src/cli/experiment/options.ts'

const required = ['--base', 'b', '--data', 'd.jsonl', '--validation', 'v.jsonl', '--test', 't.jsonl', '--out', 'o']

function optionsOf(...args: string[]): ExperimentOptions {
  const parsed = parseExperimentOptions([...required, ...args])
  if (parsed.kind !== 'experiment') throw new TypeError(`expected an experiment, got ${parsed.kind}`)
  return parsed.options
}

t.test('the full preset takes three seeds, three epochs and all of the data', async (t) => {
  const all = Number.POSITIVE_INFINITY
  t.match(optionsOf(), {
    ...{ preset: 'full', seeds: [42, 43, 44], maxRank: 8, loraRanks: undefined, shared: { epochs: 3 } },
    ...{ wide: false, only: [], parallel: 1, dryRun: false, limit: all, lossExamples: all, report: 'o/report.md' },
  })
})

t.test('options replace what a preset says', async (t) => {
  const some = ['--preset', 'small', '--seeds', '1,2,1', '--epochs', '0.5', '--limit', '0', '--loss-examples', '9']
  const others = ['--lora-ranks', '1,4', '--runs', 'lora,full', '--learning-rate', '0.01', '--batch-size', '4']
  t.match(optionsOf(...some, ...others, '--report', 'docs/r.md'), {
    ...{ seeds: [1, 2], shared: { epochs: 0.5, learningRate: 0.01, batchSize: 4 }, limit: Number.POSITIVE_INFINITY },
    ...{ lossExamples: 9, loraRanks: [1, 4], only: ['lora', 'full'], report: 'docs/r.md' },
  })
  t.same(optionsOf('--steps', '9', '--epochs', '2').shared, { steps: 9 }, 'steps come before epochs')
  t.equal(optionsOf('--wide').maxRank, 64)
  t.equal(optionsOf('--wide', '--max-rank', '16').maxRank, 16)
})

t.test('a report alone needs the directory of the experiment and nothing else', async (t) => {
  t.same(parseExperimentOptions(['--out', 'o', '--report-only', '--report', 'r.md']), {
    ...{ kind: 'report', out: 'o', report: 'r.md' },
  })
})

t.test('help lists every option', async (t) => {
  t.same(parseExperimentOptions(['-h']), { kind: 'help' })
  for (const option of ['--base', '--runs', '--wide', '--dry-run', '--report-only']) t.match(experimentHelp(), option)
})

t.test('mistakes name the option and what was expected', async (t) => {
  const mistakes: [string[], RegExp][] = [
    [['--preset', 'medium'], /--preset: expected small or full, got 'medium'/],
    [['--seeds', '1,x'], /--seeds: expected whole numbers from 0/],
    [['--lora-ranks', '0,1'], /--lora-ranks: expected whole numbers from 1/],
    [['--steps', '0'], /--steps: expected a whole number from 1, got '0'/],
    [['--epochs', '-1'], /--epochs/],
    [['--epochs=-1'], /--epochs: expected a positive number, got '-1'/],
    [['--learning-rate', 'fast'], /--learning-rate: expected a positive number/],
    [['--parallel', '0'], /--parallel: expected a whole number from 1/],
  ]
  for (const [args, message] of mistakes) t.throws(() => optionsOf(...args), { message })
  t.throws(() => parseExperimentOptions(required.slice(2)), { code: 'validation', message: /--base is required/ })
})
