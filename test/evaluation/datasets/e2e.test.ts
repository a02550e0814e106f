/** E2E references and outputs in all the formats in which they go about. */
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { readE2eReferences } from '../../../src/evaluation/datasets/e2e.ts'
import { readOutputs } from '../../../src/evaluation/datasets/reference-set.ts'

const elm = 'name[The "Elm"], near[Oak]'
const fig = 'name[Fig], food[Fish, chips]'
const references = [['The "Elm" is near Oak.', 'Near Oak,\nthere is The "Elm".'], ['Fig serves fish and chips.']]
/** The MRs in quotes, doubled quotes, a line end within a field, and an MR that comes back later. */
const csv = [
  'mr,ref',
  '"name[The ""Elm""], near[Oak]","The ""Elm"" is near Oak."',
  '"name[Fig], food[Fish, chips]",Fig serves fish and chips.',
  '"name[The ""Elm""], near[Oak]","Near Oak,\nthere is The ""Elm""."',
  '',
]

t.test('the challenge CSV, however it was saved', async (t) => {
  const quoted = csv.join('\n').replace('mr,ref', '"mr","ref"')
  const directory = t.testdir({
    'a.csv': csv.join('\n'),
    'b.csv': `\uFEFF${csv.join('\r\n')}\r\n`,
    'c.csv': csv.join('\n').trimEnd(),
    'd.csv.gz': gzipSync(quoted),
    'e.csv': csv
      .join('\n')
      .replace('mr,ref', 'name,MR,ref')
      .replace(/^"name/gm, 'x,"name'),
    table: csv.join('\n'),
  })
  for (const name of ['a.csv', 'b.csv', 'c.csv', 'd.csv.gz', 'e.csv', 'table']) {
    t.same(
      await readE2eReferences(join(directory, name)),
      { unit: 'distinct MR', contexts: [elm, fig], references },
      name,
    )
  }
})

t.test('text, LoRA pairs, JSON lines and TSV', async (t) => {
  const plain = [['A pub.', 'It is a pub.'], ['An inn, "cheap".']]
  const directory = t.testdir({
    'refs.txt': '\nA pub.\r\nIt is a pub.\r\n\r\nAn inn, "cheap".\r\n\r\n\r\n',
    'pairs.txt': 'name : a||A pub. \nname : b||An inn, "cheap".\nname : a||It is a pub. ',
    'rows.jsonl':
      '{"context":"a","references":["A pub.","It is a pub."],"cate":true}\n{"context":"b","completion":"An inn, \\"cheap\\"."}\n',
    'rows.tsv': 'MR\toutput\na\tA pub.\nb\tAn inn, "cheap".\na\tIt is a pub.\n',
  })
  for (const name of ['refs.txt', 'pairs.txt', 'rows.jsonl', 'rows.tsv']) {
    t.same((await readE2eReferences(join(directory, name))).references, plain, name)
  }
  t.equal((await readE2eReferences(join(directory, 'refs.txt'))).contexts, null)
})

t.test('references that cannot be used are refused with the line', async (t) => {
  const cases: Readonly<Record<string, readonly [string, RegExp]>> = {
    'header.csv': [
      '"name[Elm]",A pub.\n',
      /line 1: expected a header with the columns mr and ref, got 'name\[Elm\] A pub\.'/,
    ],
    'empty.csv': ['', /expected references, got none$/],
    'bare.csv': ['mr,ref\n', /got none below the header/],
    'field.csv': ['mr,ref\n"a\nb",c\nd\n', /line 4: expected 2 columns as in the header, got 1/],
    'blank.csv': ['mr,ref\na,b\na,\n', /line 3: expected a reference, got an empty field/],
    'begin.csv': ['mr,ref\n"a\r\nb\n",\n', /line 2: expected a reference, got an empty field/],
    'nameless.csv': ['mr,ref\n,b\n', /line 2: expected an MR, got an empty field/],
    'open.csv': ['mr,ref\na,"b\n', /line \d: Quote Not Closed/],
    'gap.txt': ['A pub.\n\n\nAn inn.\n', /line 3: expected a reference, got a second blank line/],
    'mixed.txt': ['name : a||A pub.\nname : b\n', /line 2: expected 'context\|\|completion'/],
  }
  const directory = t.testdir(Object.fromEntries(Object.entries(cases).map(([name, [text]]) => [name, text])))
  for (const [name, [, message]] of Object.entries(cases)) {
    await t.rejects(readE2eReferences(join(directory, name)), { code: 'dataset_invalid', message })
  }
})

t.test('outputs go by line, or by MR where the file has them', async (t) => {
  const directory = t.testdir({
    'refs.csv': csv.join('\n'),
    lines: 'first\twith a tab\r\n\r\n',
    spare: 'first\twith a tab\n\n\n\n',
    'rows.tsv': `MR\toutput\n${fig}\t\n${elm}\tfirst\twith a tab\n`
      .replace('first\twith', '"first\twith')
      .replace('tab\n', 'tab"\n'),
    'rows.csv': `output,mr\n"","${fig}"\n"first\twith a tab","${elm.replaceAll('"', '""')}"\n"","${fig}"\n`,
    'rows.jsonl': `{"mr":${JSON.stringify(fig)},"hyp":""}\n{"mr":${JSON.stringify(elm)},"hyp":"first\\twith a tab"}\n`,
    'texts.csv': 'id,output\n1,first\twith a tab\n2,\n',
    'rows.json': `[{"mr":${JSON.stringify(fig)},"hyp":""},\n{"mr":${JSON.stringify(elm)},"hyp":"first\\twith a tab"}]`,
    'strings.jsonl': '"first\\twith a tab"\n""\n',
  })
  const set = await readE2eReferences(join(directory, 'refs.csv'))
  for (const name of [
    'lines',
    'spare',
    'rows.tsv',
    'rows.csv',
    'rows.jsonl',
    'rows.json',
    'texts.csv',
    'strings.jsonl',
  ]) {
    t.same((await readOutputs(join(directory, name), [set])).hypotheses, ['first\twith a tab', ''], name)
  }
})

t.test('outputs that do not go with the references are refused with the line', async (t) => {
  const cases: Readonly<Record<string, readonly [string, RegExp]>> = {
    none: ['', /expected outputs, one for each distinct MR, got none/],
    few: ['a\n', /expected 2 \(one for each distinct MR\) outputs, got 1/],
    many: ['a\nb\nc\n', /expected 2 \(one for each distinct MR\) outputs, got 3/],
    'header.tsv': [`${elm}\ta\n`, /line 1: expected a header with the columns MR and output/],
    'other.tsv': [
      `MR\toutput\n${fig}\ta\nname[Ash]\tb\n`,
      /line 3: expected a distinct MR of the references, got 'name\[Ash\]'/,
    ],
    'twice.tsv': [
      `MR\toutput\n${fig}\ta\n${fig}\tb\n`,
      /line 3: expected one output for each distinct MR, got another than in line 2/,
    ],
    'lacks.tsv': [
      `MR\toutput\n${fig}\ta\n`,
      /expected an output for each distinct MR, got none for 'name\[The "Elm"\], near\[Oak\]'/,
    ],
    'not.jsonl': ['"a"\n3\n', /line 2: expected a string or an object with an output, got '3'/],
    'not.json': ['["a", {"text": "b"}]', /item 2: expected a string or an object with an output, got '\{"text":"b"\}'/],
    'no-array.json': ['{"a": "b"}', /expected a JSON array of outputs/],
    'broken.jsonl': ['"a"\n{\n', /line 2: /],
  }
  const directory = t.testdir({
    'refs.csv': csv.join('\n'),
    ...Object.fromEntries(Object.entries(cases).map(([name, [text]]) => [name, text])),
  })
  const set = await readE2eReferences(join(directory, 'refs.csv'))
  for (const [name, [, message]] of Object.entries(cases)) {
    await t.rejects(readOutputs(join(directory, name), [set]), { code: 'dataset_invalid', message })
  }
})
