/** GLUE's official files with labels, and predictions for them. */
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { type GlueTask, readGlueExamples, readPredictions } from '../../../src/evaluation/datasets/glue.ts'

const tsv = (...rows: readonly (readonly string[])[]) => rows.map((row) => `${row.join('\t')}\n`).join('')
const sentence1 = 'A "pub, open'
const sentence2 = 'An inn'

/** Each official header with one row, whose quote is a character like any other. */
const official: readonly (readonly [GlueTask, string, object])[] = [
  ['cola', tsv(['gj04', '1', '', sentence1], ['gj04', '0', '*', sentence2]), { sentence: sentence1, label: 1 }],
  ['sst2', tsv(['sentence', 'label'], [sentence1, '0']), { sentence: sentence1, label: 0 }],
  [
    'mrpc',
    `\uFEFF${tsv(['Quality', '#1 ID', '#2 ID', '#1 String', '#2 String'], ['1', '7', '8', sentence1, sentence2])}`,
    { sentence1, sentence2, label: 1 },
  ],
  [
    'stsb',
    tsv(
      ['index', 'genre', 'filename', 'year', 'old_index', 'source1', 'source2', 'sentence1', 'sentence2', 'score'],
      ['0', 'main', 'MSR', '2012', '1', 'none', 'none', sentence1, sentence2, '3.800'],
    ),
    { sentence1, sentence2, label: 3.8 },
  ],
  [
    'qqp',
    tsv(
      ['id', 'qid1', 'qid2', 'question1', 'question2', 'is_duplicate'],
      ['133273', '213221', '213222', sentence1, sentence2, '0'],
      ['0', 'a broken row'],
    ),
    { sentence1, sentence2, label: 0 },
  ],
  [
    'mnli',
    tsv(
      ['index', 'promptID', 'sentence1', 'sentence2', 'label1', 'gold_label'],
      ['0', '63735', sentence1, sentence2, 'entailment', 'contradiction'],
    ),
    { sentence1, sentence2, label: 2 },
  ],
  [
    'qnli',
    tsv(['index', 'question', 'sentence', 'label'], ['0', sentence1, sentence2, 'entailment']),
    { sentence1, sentence2, label: 0 },
  ],
  [
    'rte',
    tsv(['index', 'sentence1', 'sentence2', 'label'], ['0', sentence1, sentence2, 'not_entailment']),
    { sentence1, sentence2, label: 1 },
  ],
]

for (const [task, text, example] of official) {
  t.test(`${task}: columns by their names, quotes as they are, classes by number`, async (t) => {
    const directory = t.testdir({ 'dev.tsv': text, 'dev.tsv.gz': gzipSync(text.replaceAll('\n', '\r\n')) })
    for (const name of ['dev.tsv', 'dev.tsv.gz']) {
      const examples = await readGlueExamples(task, join(directory, name))
      t.same(examples[0], example)
      t.equal(examples.length, task === 'cola' ? 2 : 1)
    }
  })
}

t.test(
  'other shapes of the same files: RTE by number, STS-B as CSV, CoLA with a header, converted JSON lines',
  async (t) => {
    const directory = t.testdir({
      'rte.tsv': tsv(['sentence1', 'sentence2', 'label', 'idx'], ['a', 'b', '0', '5']),
      'stsb.csv': '"A ""pub"", open",An inn,3.8\n',
      'cola.tsv': tsv(['sentence', 'label', 'idx'], ['a', '1', '0']),
      'sst2.jsonl': '{"sentence":"a","label":1}\n{"sentence":"b","label":0}\n',
    })
    const first = async (task: GlueTask, name: string) => (await readGlueExamples(task, join(directory, name)))[0]
    t.same(await first('rte', 'rte.tsv'), { sentence1: 'a', sentence2: 'b', label: 0 })
    t.same(await first('stsb', 'stsb.csv'), { sentence1: 'A "pub", open', sentence2: 'An inn', label: 3.8 })
    t.same(await first('cola', 'cola.tsv'), { sentence: 'a', label: 1 })
    t.same(await first('sst2', 'sst2.jsonl'), { sentence: 'a', label: 1 })
  },
)

t.test('files without labels or with wrong ones are refused with the line', async (t) => {
  const cases: readonly (readonly [GlueTask, string, RegExp])[] = [
    [
      'sst2',
      tsv(['a pub', '1'], ['b', '0']),
      /line 1: expected a header with the columns sentence and label, got 'a pub 1'/,
    ],
    ['sst2', tsv(['sentence', 'label'], ['a', '2']), /line 2: expected one of 0, 1, got '2'/],
    ['sst2', tsv(['sentence', 'label'], ['a', '1'], ['b']), /line 3: expected 2 columns as in the header, got 1/],
    ['sst2', tsv(['sentence', 'label']), /expected labelled examples, got none/],
    ['cola', tsv(['a', '1', '', 'x'], ['a', '1']), /line 2: expected at least 4 columns, got 2/],
    [
      'rte',
      tsv(['sentence1', 'sentence2', 'label'], ['a', 'b', 'neutral']),
      /line 2: expected one of entailment, not_entailment, 0, 1, got 'neutral'/,
    ],
    ['stsb', tsv(['sentence1', 'sentence2', 'score'], ['a', 'b', 'nan']), /line 2: expected a number, got 'nan'/],
  ]
  const directory = t.testdir(Object.fromEntries(cases.map(([, text], i) => [`${i}.tsv`, text])))
  for (const [i, [task, , message]] of cases.entries()) {
    await t.rejects(readGlueExamples(task, join(directory, `${i}.tsv`)), { code: 'dataset_invalid', message })
  }
})

t.test('predictions go by their index, classes by name or number', async (t) => {
  const directory = t.testdir({
    'a.tsv': 'index\tprediction\r\n2\tentailment\r\n0\tcontradiction\r\n1\tneutral\r\n',
    'b.tsv': 'index\tprediction\n0\t2\n1\t1\n2\t0\n',
    'c.csv': 'index,prediction\n0,2\n1,1.0\n2,0\n',
    'score.tsv': 'index\tprediction\n0\t-0.5\n1\t4.75e0\n',
  })
  for (const name of ['a.tsv', 'b.tsv', 'c.csv']) {
    t.same([...(await readPredictions('mnli', join(directory, name), 3))], [2, 1, 0], name)
  }
  t.same([...(await readPredictions('stsb', join(directory, 'score.tsv'), 2))], [-0.5, 4.75])
})

t.test('predictions that cannot be scored are refused with the line', async (t) => {
  const header = 'index\tprediction\n'
  const cases: readonly (readonly [GlueTask, string, RegExp])[] = [
    ['sst2', '', /expected 2 predictions, got an empty file/],
    ['sst2', header, /expected 2 predictions, got 0/],
    ['sst2', '0\t1\n1\t0\n', /line 1: expected a header with the columns index and prediction, got '0 1'/],
    ['sst2', `${header}0\t1\n`, /expected 2 predictions, got 1/],
    ['sst2', `${header}0\t1\n1\t1\n2\t1\n`, /expected 2 predictions, got 3/],
    ['sst2', `${header}0\t1\n0\t1\n`, /line 3: expected each index once, got 0 again \(first in line 2\)/],
    ['sst2', `${header}0\t1\n2\t1\n`, /line 3: expected an index from 0 to 1, got '2'/],
    ['sst2', `${header}0\t1\n-1\t1\n`, /line 3: expected an index from 0 to 1, got '-1'/],
    ['sst2', `${header}0\t1\n1\tNaN\n`, /line 3: expected one of 0, 1, got 'NaN'/],
    ['sst2', `${header}0\t1\n1\n`, /line 3: expected 2 columns as in the header, got 1/],
    ['stsb', `${header}0\t1\n1\tNaN\n`, /line 3: expected a number, got 'NaN'/],
    ['stsb', `${header}0\t1\n1\tInfinity\n`, /line 3: expected a number, got 'Infinity'/],
    ['stsb', `${header}0\t\n1\t1\n`, /line 2: expected a number, got ''/],
    ['stsb', `${header}0\t3,5\n1\t1\n`, /line 2: expected a number, got '3,5'/],
  ]
  const directory = t.testdir(Object.fromEntries(cases.map(([, text], i) => [`${i}.tsv`, text])))
  for (const [i, [task, , message]] of cases.entries()) {
    await t.rejects(readPredictions(task, join(directory, `${i}.tsv`), 2), { code: 'dataset_invalid', message })
  }
})
