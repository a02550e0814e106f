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
    lossExamples: 1000,
    limit: Number.POSITIVE_INFINITY,
    concurrency: 16,
    maxNewTokens: 100,
    outputs: undefined,
  })
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
