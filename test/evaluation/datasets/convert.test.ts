/** Official files to JSON lines, from small files in the official formats, and from the real ones where they are at hand. */
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import type { DatasetName } from '../../../src/evaluation/datasets/catalogue.ts'
import { convertDataset } from '../../../src/evaluation/datasets/convert.ts'
import { readReferences } from '../../../src/evaluation/references.ts'
import { writeZip } from '../../fixtures/torch-files.ts'

const rowsOf = async (...path: string[]) =>
  (await readFile(join(...path), 'utf8'))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown)

const pairs = 'name : Elm||Elm is a pub . \nname : Oak||Oak is an inn . \nname : Elm||A pub is Elm . \n'
const groups = [
  { context: 'name : Elm', references: ['Elm is a pub .', 'A pub is Elm .'] },
  { context: 'name : Oak', references: ['Oak is an inn .'] },
]

t.test('E2E: pairs to train on, groups of references to evaluate on, and a licence beside them', async (t) => {
  const from = t.testdir({
    e2e: { 'train.txt': pairs, 'valid.txt.gz': gzipSync(pairs), 'test.txt': pairs.replaceAll('\n', '\r\n') },
  })
  const out = join(from, 'made', 'e2e')
  const { files, missing, variant } = await convertDataset('e2e', { from, out })
  t.same(files, { 'train.jsonl': 3, 'valid.jsonl': 3, 'valid.references.jsonl': 2, 'test.references.jsonl': 2 })
  t.same([variant, missing], ['lora', []])
  t.same((await readdir(out)).sort(), [...Object.keys(files), 'LICENCE.txt', 'dataset.json'].sort())
  t.same((await rowsOf(out, 'train.jsonl'))[2], { context: 'name : Elm', completion: 'A pub is Elm .' })
  for (const split of ['valid', 'test']) t.same(await readReferences(join(out, `${split}.references.jsonl`)), groups)
  t.match(await readFile(join(out, 'LICENCE.txt'), 'utf8'), /CC BY-SA 4\.0/)
  t.match(JSON.parse(await readFile(join(out, 'dataset.json'), 'utf8')), {
    dataset: 'e2e',
    licence: /^CC BY-SA 4\.0/,
    sources: { train: { sha256: /^[0-9a-f]{64}$/, lines: 3 } },
    files,
  })
})

t.test('E2E as the challenge published it, when that is all there is or what is asked for', async (t) => {
  const csv = 'mr,ref\n"name[Elm], area[x]","Elm, a pub."\n'
  const challenge = { 'trainset.csv': csv, 'devset.csv': csv, 'testset_w_refs.csv': csv }
  const both = t.testdir({ 'train.txt': pairs, 'valid.txt': pairs, 'test.txt': pairs, ...challenge })
  const convert = (from: string, variant?: string) => convertDataset('e2e', { from, out: join(both, 'out'), variant })
  t.equal((await convert(both)).variant, 'lora')
  t.equal((await convert(both, 'challenge')).variant, 'challenge')
  t.same(await rowsOf(both, 'out', 'train.jsonl'), [{ context: 'name[Elm], area[x]', completion: 'Elm, a pub.' }])
  await t.rejects(convert(both, 'raw'), {
    code: 'validation',
    message: "--variant: expected lora or challenge for e2e, got 'raw'",
  })
})

const webnlg = (category: string, object: string) => ({
  category,
  modifiedtripleset: [{ subject: 'Elm', property: 'nearTo', object }],
  lexicalisations: [{ comment: 'good', lex: `Near ${object}.` }],
})

t.test('WebNLG: the test set also in its seen and unseen categories', async (t) => {
  const json = JSON.stringify({ entries: [{ 1: webnlg('Airport', 'Oak') }, { 2: webnlg('Artist', 'Fig') }] })
  const from = t.testdir({ 'train.json': json, 'dev.json': json, 'test.json': json })
  const out = join(from, 'out')
  await convertDataset('webnlg', { from, out })
  const [seen, unseen] = [
    { context: 'Elm : nearTo : Oak', references: ['Near Oak.'] },
    { context: 'Elm : nearTo : Fig', references: ['Near Fig.'] },
  ]
  t.same(await rowsOf(out, 'test.references.jsonl'), [seen, unseen])
  t.same(await rowsOf(out, 'test.seen.references.jsonl'), [seen])
  t.same(await rowsOf(out, 'test.unseen.references.jsonl'), [unseen])
  t.match(await readFile(join(out, 'LICENCE.txt'), 'utf8'), /CC BY-NC-SA 4\.0 \(non-commercial\)/)
})

t.test('DART: a training split by its official name, and annotations without a text left out', async (t) => {
  const set = (text: string | null) => ({
    tripleset: [['Elm', 'FOOD', 'Fish']],
    subtree_was_extended: false,
    annotations: [{ source: 'x', text }],
  })
  const from = t.testdir({
    'dart-v1.1.1-full-train.json': JSON.stringify([set('Elm has fish.'), set(null), set('Fish at Elm.')], null, 2),
    'dart-v1.1.1-full-dev.json': JSON.stringify([set('Fish.')]),
    'dart-v1.1.1-full-test.xml':
      '<benchmark><entries><entry><modifiedtripleset><mtriple>Elm | FOOD | Fish</mtriple></modifiedtripleset><lex comment="x">Fish!</lex><lex comment="y"/></entry></entries></benchmark>',
  })
  const out = join(from, 'out')
  const { missing } = await convertDataset('dart', { from, out })
  t.same(missing, [])
  const context = 'Elm : food : Fish'
  t.same(await rowsOf(out, 'train.jsonl'), [
    { context, completion: 'Elm has fish.' },
    { context, completion: 'Fish at Elm.' },
  ])
  t.same(await rowsOf(out, 'test.references.jsonl'), [{ context, references: ['Fish!'] }])
})

t.test('GLUE: labelled texts out of the archive; the test files of the benchmark have no labels', async (t) => {
  const from = t.testdir({})
  const file = (text: string) => ({ data: Buffer.from(text), deflate: true })
  const rte = (label: string) => `index\tsentence1\tsentence2\tlabel\n0\tA "pub\tAn inn\t${label}\n`
  writeZip(
    join(from, 'RTE.zip'),
    new Map([
      ['RTE/dev.tsv', file(rte('not_entailment'))],
      ['RTE/train.tsv', file(rte('entailment'))],
      ['RTE/test.tsv', file('index\tsentence1\tsentence2\n0\ta\tb\n')],
    ]),
  )
  const out = join(from, 'out')
  t.same(await convertDataset('rte', { from, out }), {
    variant: 'glue',
    files: { 'train.jsonl': 1, 'valid.jsonl': 1 },
    missing: [],
    licence:
      'The data set rte is not part of this project. Licence: research use, see https://aclweb.org/aclwiki/Recognizing_Textual_Entailment. Source: PASCAL Recognising Textual Entailment challenges 1, 2, 3 and 5.',
  })
  t.same(await rowsOf(out, 'valid.jsonl'), [{ sentence1: 'A "pub', sentence2: 'An inn', label: 1 }])
  await writeFile(join(from, 'RTE.zip'), 'no archive')
  await t.rejects(convertDataset('rte', { from, out }), {
    code: 'dataset_invalid',
    message: /RTE\.zip.*expected a zip archive/,
  })
  writeZip(join(from, 'RTE.zip'), new Map([['RTE/train.tsv', file(rte('entailment'))]]))
  await t.rejects(convertDataset('rte', { from, out }), { message: /expected a member RTE\/dev\.tsv, found none/ })
  t.same((await rowsOf(out, 'train.jsonl')).length, 1, 'what failed left the earlier result alone')
})

t.test('GLUE files that are unpacked: plain, gzipped, in a folder of the task', async (t) => {
  const from = t.testdir({
    glue: {
      'SST-2': {
        'train.tsv': 'sentence\tlabel\na\t1\nb\t0\n',
        'dev.tsv.gz': gzipSync('sentence\tlabel\nc\t0\n'),
        'test.tsv': 'index\tsentence\n0\td\n',
      },
      stsb: { 'train.csv': '"a, b",c,2.5\n', 'dev.csv': 'd,e,5\n', 'test.csv': 'f,g,0\n' },
      CoLA: { 'train.tsv': 'gj04\t1\t\ta\n', 'dev.tsv': 'gj04\t0\t*\tb\n' },
    },
  })
  const convert = async (name: DatasetName) => (await convertDataset(name, { from, out: join(from, name) })).files
  t.same(await convert('sst2'), { 'train.jsonl': 2, 'valid.jsonl': 1 })
  t.same(await convert('stsb'), { 'train.jsonl': 1, 'valid.jsonl': 1, 'test.jsonl': 1 })
  t.same(await rowsOf(from, 'stsb', 'train.jsonl'), [{ sentence1: 'a, b', sentence2: 'c', label: 2.5 }])
  t.same(await convert('cola'), { 'train.jsonl': 1, 'valid.jsonl': 1 })
  t.same(await rowsOf(from, 'cola', 'valid.jsonl'), [{ sentence: 'b', label: 0 }])
})

t.test('MRPC: validation is taken out of training by the ids that GLUE gives', async (t) => {
  const header = 'Quality\t#1 ID\t#2 ID\t#1 String\t#2 String'
  const train = `\uFEFF${header}\r\n1\t11\t12\ta\tb\r\n0\t21\t22\tc\td\r\n1\t31\t32\te\tf\r\n`
  const from = t.testdir({
    'msr_paraphrase_train.txt': train,
    'msr_paraphrase_test.txt': `${header}\n0\t41\t42\tg\th\n`,
    'mrpc_dev_ids.tsv': '21\t22\n98\t99\n',
    alone: { 'train.tsv': train, 'test.tsv': 'index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t41\t42\tg\th\n' },
  })
  const out = join(from, 'out')
  t.same((await convertDataset('mrpc', { from, out })).files, { 'train.jsonl': 2, 'valid.jsonl': 1, 'test.jsonl': 1 })
  t.same(await rowsOf(out, 'valid.jsonl'), [{ sentence1: 'c', sentence2: 'd', label: 0 }])
  t.match(await convertDataset('mrpc', { from: join(from, 'alone'), out }), {
    files: { 'train.jsonl': 3 },
    missing: ['valid'],
  })
  await writeFile(join(from, 'msr_paraphrase_train.txt'), train.replace('1\t31', '7\t31'))
  await t.rejects(convertDataset('mrpc', { from, out }), {
    message: /train\.txt.*line 4: expected one of 0, 1, got '7'/,
  })
})

t.test('nothing to convert, and a directory that is not ours, are refused', async (t) => {
  const from = t.testdir({ 'train.txt': pairs, 'valid.txt': 'no bars\n', theirs: { 'notes.txt': 'keep' }, empty: {} })
  const out = join(from, 'out')
  await t.rejects(convertDataset('dart', { from: join(from, 'theirs'), out }), {
    code: 'dataset_invalid',
    message: /expected the official files \(dart-v1\.1\.1-full-train\.json, .*; gzipped or not\), found none/,
  })
  await t.rejects(convertDataset('e2e', { from, out: join(from, 'theirs') }), {
    code: 'validation',
    message: /^--out: expected a new or empty directory, or an earlier data set, got /,
  })
  t.equal(await readFile(join(from, 'theirs', 'notes.txt'), 'utf8'), 'keep')
  await t.rejects(convertDataset('e2e', { from, out: join(from, 'train.txt') }), { message: /is not a directory/ })
  await t.rejects(convertDataset('e2e', { from, out }), {
    message: /valid\.txt.*line 1: expected 'context\|\|completion'/,
  })
  t.notOk(existsSync(out), 'nothing half-written')
  await writeFile(join(from, 'valid.txt'), pairs)
  await mkdir(out)
  t.same((await convertDataset('e2e', { from, out })).missing, ['test'])
})

const data = resolve(import.meta.dirname, '../../../../shared/data')
if (existsSync(join(data, 'webnlg2017'))) {
  /** Counts of the papers and of the official splits. */
  const expected: Readonly<Partial<Record<DatasetName, object>>> = {
    e2e: { 'train.jsonl': 42061, 'valid.jsonl': 4672, 'valid.references.jsonl': 547, 'test.references.jsonl': 630 },
    webnlg: {
      ...{ 'train.jsonl': 18025, 'valid.jsonl': 2258, 'valid.references.jsonl': 870, 'test.references.jsonl': 1862 },
      ...{ 'test.seen.references.jsonl': 971, 'test.unseen.references.jsonl': 891 },
    },
    dart: { 'valid.jsonl': 6980, 'valid.references.jsonl': 2721, 'test.references.jsonl': 4159 },
    cola: { 'train.jsonl': 8551, 'valid.jsonl': 1043 },
    sst2: { 'train.jsonl': 67349, 'valid.jsonl': 872 },
    mrpc: { 'train.jsonl': 4076, 'test.jsonl': 1725 },
    rte: { 'train.jsonl': 2490, 'valid.jsonl': 277 },
    stsb: { 'train.jsonl': 5749, 'valid.jsonl': 1500, 'test.jsonl': 1379 },
  }
  for (const [name, files] of Object.entries(expected)) {
    t.test(`the real files of ${name}`, async (t) => {
      const out = join(t.testdir({}), name)
      t.same((await convertDataset(name as DatasetName, { from: data, out })).files, files)
    })
  }
}
