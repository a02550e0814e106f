/** The options of `dylora evaluate`. */
import t from 'tap'
import { evaluateHelp, parseEvaluateOptions } from '../../src/cli/evaluate-options.ts'

const needed = [
  '--base',
  'models/base/b',
  '--adapter',
  'models/adapters/a',
  '--data',
  'data/inns.jsonl.gz',
  '--split',
  'test',
]

t.test('what is not given has a default', (t) => {
  t.same(parseEvaluateOptions(needed), {
    base: 'models/base/b',
    adapter: 'models/adapters/a',
    data: 'data/inns.jsonl.gz',
    split: 'test',
    name: 'inns',
    ranks: 'all',
    metrics: ['bleu', 'nist', 'meteor', 'rouge_l', 'cider'],
    decoding: { beams: 1, lengthPenalty: 1, noRepeatNgramSize: 0, maxNewTokens: 100 },
    lossExamples: 1000,
    limit: Number.POSITIVE_INFINITY,
    rows: 16,
    threads: undefined,
    outputs: undefined,
    json: false,
  })
  t.match(parseEvaluateOptions(['--adapter', 'a', '--data', 'd.jsonl']), { base: undefined, split: 'validation' })
  t.end()
})

t.test('a file that says test in its name is a test split, unless told otherwise', (t) => {
  const splitOf = (...args: string[]) => parseEvaluateOptions(['--adapter', 'a', ...args])?.split
  t.equal(splitOf('--data', 'e2e/test.references.jsonl'), 'test')
  t.equal(splitOf('--data', 'e2e-test.jsonl.gz'), 'test')
  t.equal(splitOf('--data', 'test/contest.jsonl'), 'validation')
  t.equal(splitOf('--data', 'test.jsonl', '--split', 'validation'), 'validation')
  t.end()
})

t.test("the paper's decoding is three options, and takes rows for four searches at once", (t) => {
  const paper = ['--num-beams', '10', '--length-penalty', '0.8', '--no-repeat-ngram-size', '4']
  const parsed = parseEvaluateOptions([...needed, ...paper])
  t.match(parsed, { rows: 40, decoding: { beams: 10, lengthPenalty: 0.8, noRepeatNgramSize: 4, maxNewTokens: 100 } })
  t.end()
})

t.test('ranks are a list, sorted and once each', (t) => {
  t.same(parseEvaluateOptions([...needed, '--ranks', '8,1,0,1'])?.ranks, [0, 1, 8])
  t.equal(parseEvaluateOptions([...needed, '--limit', '50', '--name', 'e2e'])?.limit, 50)
  t.end()
})

t.test('a mistake names the option', (t) => {
  const wrong: readonly (readonly [string[], RegExp])[] = [
    [[], /--data is required/],
    [[...needed, '--split', 'train'], /--split: expected validation or test, got 'train'/],
    [[...needed, '--ranks', 'most'], /--ranks: expected all/],
    [[...needed, '--metrics', 'bleu,blue'], /there is no metric 'blue': expected some of bleu, .*token_agreement/],
    [[...needed, '--length-penalty', '0.8'], /--length-penalty needs --num-beams from 2/],
    [
      [...needed, '--num-beams', '4', '--length-penalty', 'x'],
      /--length-penalty: expected a number such as 0.8, got 'x'/,
    ],
    [[...needed, '--concurrency', '0'], /--concurrency: expected a whole number from 1, got '0'/],
  ]
  for (const [args, message] of wrong) t.throws(() => parseEvaluateOptions(args), { code: 'validation', message })
  t.throws(() => parseEvaluateOptions([...needed, '--rank', '4']), { code: 'ERR_PARSE_ARGS_UNKNOWN_OPTION' })
  t.end()
})

t.test('help names every option', (t) => {
  t.equal(parseEvaluateOptions(['--help']), null)
  for (const option of ['--base', '--split', '--loss-examples', '--outputs']) t.match(evaluateHelp(), option)
  t.end()
})
