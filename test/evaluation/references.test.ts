/** Reference files in the formats that people have. */
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { readReferences } from '../../src/evaluation/references.ts'

const expected = [
  { context: 'name : Elm', references: ['Elm is a pub .', 'A pub is Elm .'] },
  { context: 'name : Oak', references: ['Oak is an inn .'] },
]

t.test('lines of one context are one group, in any format', async (t) => {
  const pairs = ['name : Elm||Elm is a pub . ', 'name : Oak||Oak is an inn . ', 'name : Elm||A pub is Elm . ', ''].join(
    '\n',
  )
  const directory = t.testdir({
    'pairs.txt': pairs,
    'pairs.txt.gz': gzipSync(pairs),
    'pairs.jsonl': [
      '{"context":"name : Elm","completion":"Elm is a pub ."}',
      '{"context":"name : Oak","completion":"Oak is an inn ."}',
      '{"context":"name : Elm","completion":"A pub is Elm ."}',
    ].join('\n'),
    'groups.jsonl': expected.map((group) => JSON.stringify(group)).join('\n'),
  })
  for (const file of ['pairs.txt', 'pairs.txt.gz', 'pairs.jsonl', 'groups.jsonl']) {
    t.same(await readReferences(join(directory, file)), expected, file)
  }
})

t.test('a file that cannot be used is refused with the line', async (t) => {
  const directory = t.testdir({
    'bad.jsonl': '{"context":"a","completion":"b"}\n{"context":"a"}\n',
    'broken.jsonl': '{"context"',
    'bad.txt': 'no bars\n',
    'empty.txt': '\n',
  })
  const fails = { code: 'dataset_invalid' }
  await t.rejects(readReferences(join(directory, 'bad.jsonl')), { ...fails, message: /line 2: expected/ })
  await t.rejects(readReferences(join(directory, 'broken.jsonl')), { ...fails, message: /line 1: / })
  await t.rejects(readReferences(join(directory, 'bad.txt')), {
    ...fails,
    message: /line 1: expected 'context\|\|completion'/,
  })
  await t.rejects(readReferences(join(directory, 'empty.txt')), { ...fails, message: /at least one example/ })
  await t.rejects(readReferences(join(directory, 'none.txt')), fails)
})
