/** `dylora dataset` from a directory of official files. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { run } from '../../src/cli/dataset.ts'

t.test('the converted files are named with their lines, the licence and what lacks are notes', async (t) => {
  const from = t.testdir({ 'train.txt': 'name : Elm||Elm is a pub . \n' })
  const out = join(from, 'out')
  const said = t.capture(console, 'log')
  const noted = t.capture(console, 'error')
  t.equal(await run(['e2e', '--from', from, '--out', out]), 0)
  t.same(
    said().map(({ args }) => args[0]),
    [`${join(out, 'train.jsonl')}  1 lines`],
  )
  t.match(
    noted().map(({ args }) => args[0]),
    [
      /^The data set e2e is not part of this project\. Licence: CC BY-SA 4\.0/,
      'e2e: no official file of the valid split was found',
      'e2e: no official file of the test split was found',
    ],
  )
  t.equal(await readFile(join(out, 'train.jsonl'), 'utf8'), '{"context":"name : Elm","completion":"Elm is a pub ."}\n')
})

t.test('a mistake is one line that names it', async (t) => {
  const rejects = (args: string[], message: RegExp) => t.rejects(run(args), { code: 'validation', message })
  await rejects([], /^Expected one data set of e2e, webnlg, dart, sst2, cola, mrpc, rte, stsb, got ''/)
  await rejects(['e2d', '--out', 'x'], /got 'e2d'/)
  await rejects(['e2e', 'dart', '--out', 'x'], /got 'e2e dart'/)
  await rejects(['toString', '--out', 'x'], /got 'toString'/)
  await rejects(['e2e'], /^--out is required/)
  t.capture(console, 'error')
  await t.rejects(run(['dart', '--out', 'x', '--from', '/nowhere']), {
    code: 'dataset_invalid',
    message: /'\/nowhere'.*found none/,
  })
})

t.test('help names the data sets and their licences', async (t) => {
  const said = t.capture(console, 'log')
  t.equal(await run(['--help']), 0)
  t.match(said()[0]?.args[0], /^Usage: dylora dataset .*webnlg +CC BY-NC-SA 4\.0/s)
})
