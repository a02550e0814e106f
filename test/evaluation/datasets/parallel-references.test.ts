/** WebNLG and DART references: parallel files, or the data sets' own JSON and XML. */
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { readTripleReferences } from '../../../src/evaluation/datasets/parallel-references.ts'
import { readOutputs } from '../../../src/evaluation/datasets/reference-set.ts'

const references = [
  ['Elm is a pub.', 'The pub is Elm.'],
  ['Oak is an inn.', ''],
]

t.test('line i of every file is a reference of instance i; a blank line is none', async (t) => {
  const directory = t.testdir({
    reference0: 'Elm is a pub.\nOak is an inn.\n',
    reference1: 'The pub is Elm.\r\n \r\n',
    ref0: 'Elm is a pub.\nOak is an inn.',
    // The last reference is blank, and no line end follows the last line of any file.
    ref1: 'The pub is Elm.\n',
    'zip0.txt.gz': gzipSync('Elm is a pub.\nOak is an inn.\n\n'),
    'zip1.txt.gz': gzipSync('The pub is Elm.\n\n\n'),
  })
  const at = (...names: string[]) => names.map((name) => join(directory, name))
  for (const files of [at('reference0', 'reference1'), at('reference'), at('ref'), at('zip')]) {
    const [set] = await readTripleReferences('webnlg', files)
    t.same(set.references, references, files.join(' '))
  }
})

t.test('files of other lengths, or instances without any reference, are refused', async (t) => {
  const directory = t.testdir({
    two: 'a\nb\n',
    one: 'a\n',
    three: 'a\nb\nc\n',
    gap: 'a\n\nc\n',
    gap2: 'x\n\n\n',
    none: '',
  })
  const rejects = (names: string[], message: RegExp) =>
    t.rejects(
      readTripleReferences(
        'dart',
        names.map((name) => join(directory, name)),
      ),
      { code: 'dataset_invalid', message },
    )
  await rejects(['two', 'one'], /one.*expected 2 lines as in .*two, got 1/)
  await rejects(['two', 'three'], /three.*expected 2 lines as in .*two, got 3/)
  await rejects(['gap', 'gap2'], /gap'.*line 2: expected a reference, got a blank line in every file/)
  await rejects(['none'], /expected references, got none/)
  await rejects(['nowhere'], /expected a file of references, or .*nowhere0, .*nowhere1 and so on, found none/)
})

const lex = (comment: string, text: string) => ({ comment, lex: text, lang: '', xml_id: 'Id1' })
const webnlg = (category: string, objects: string[], lexicalisations: object[]) => ({
  category,
  lexicalisations,
  modifiedtripleset: objects.map((object) => ({ subject: 'Elm', property: 'cityServed', object })),
})
const webnlgJson = JSON.stringify({
  entries: [
    { 1: webnlg('Airport', ['Oak', 'Ash'], [lex('good', 'Elm serves Oak and Ash.'), lex('toFix', 'Elm Oak.')]) },
    { 2: webnlg('Artist', ['Fig'], [lex('good', 'Elm serves Fig.')]) },
  ],
})
const webnlgXml = `<?xml version="1.0"?>
<benchmark><entries>
  <entry category="Airport" eid="Id1" size="2">
    <originaltripleset><otriple>Elm | city | Oak</otriple></originaltripleset>
    <modifiedtripleset><mtriple>Elm | cityServed | Oak</mtriple><mtriple>Elm | cityServed | Ash</mtriple></modifiedtripleset>
    <lex comment="good" lid="Id1">Elm serves Oak and Ash.</lex>
    <lex comment="toFix" lid="Id2">Elm Oak.</lex>
  </entry>
  <entry category="Artist" eid="Id2" size="1">
    <modifiedtripleset><mtriple>Elm | cityServed | Fig</mtriple></modifiedtripleset>
    <lex comment="good" lid="Id1">Elm serves Fig.</lex>
  </entry>
</entries></benchmark>`

t.test('WebNLG in JSON and XML: what the annotators called good', async (t) => {
  const directory = t.testdir({ 'test.json': webnlgJson, 'test.xml': webnlgXml })
  for (const name of ['test.json', 'test.xml']) {
    const [set] = await readTripleReferences('webnlg', [join(directory, name)])
    t.same(
      set,
      {
        unit: 'distinct input',
        contexts: ['Elm : cityServed : Oak | Elm : cityServed : Ash', 'Elm : cityServed : Fig'],
        references: [['Elm serves Oak and Ash.'], ['Elm serves Fig.']],
      },
      name,
    )
  }
})

const dart = [
  { tripleset: [['Elm', 'FOOD_TYPE', 'R&D | x']], annotations: [{ source: 'x', text: 'Elm is <good>.' }] },
  { tripleset: [['Oak', 'SIZE', '3']], annotations: [{ source: 'x', text: 'Oak has 3.' }] },
  { tripleset: [['Elm', 'FOOD_TYPE', 'R&D | x']], annotations: [{ source: 'y', text: 'Elm!' }] },
]
const dartXml = `<benchmark><entries>${dart
  .map(({ tripleset, annotations }) => {
    const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
    const triple = escaped((tripleset[0] as string[]).join(' | '))
    return `<entry category="MISC"><modifiedtripleset><mtriple>${triple}</mtriple></modifiedtripleset>
      <lex comment="${annotations[0]?.source}">${escaped(annotations[0]?.text ?? '')}</lex></entry>`
  })
  .join('')}</entries></benchmark>`

t.test('DART is scored by distinct input or by triple set, as there are outputs', async (t) => {
  const directory = t.testdir({
    'a.json': JSON.stringify(dart),
    'a.xml': dartXml,
    two: 'a\nb\n',
    three: 'a\nb\nc\n',
    four: 'a\n'.repeat(4),
  })
  for (const name of ['a.json', 'a.xml']) {
    const sets = await readTripleReferences('dart', [join(directory, name)])
    const two = await readOutputs(join(directory, 'two'), sets)
    t.same(two.set.references, [['Elm is <good>.', 'Elm!'], ['Oak has 3.']], name)
    t.same(two.set.contexts, ['Elm : food_type : R&D | x', 'Oak : size : 3'])
    const three = await readOutputs(join(directory, 'three'), sets)
    t.same(three.set.references, [['Elm is <good>.'], ['Oak has 3.'], ['Elm!']])
    await t.rejects(readOutputs(join(directory, 'four'), sets), {
      message: /expected 2 \(one for each distinct input\) or 3 \(one for each triple set\) outputs, got 4/,
    })
  }
})

t.test('JSON and XML that is something else is refused with the place', async (t) => {
  const cases: Readonly<Record<string, readonly [string, RegExp]>> = {
    'a.json': ['{"entries": [{"1": {"category": "x"}}]}', /expected JSON of WebNLG or DART, got entries\.0\.1\./],
    'b.json': ['[{"tripleset": []}]', /got 0\.annotations/],
    'c.json': ['[', /expected JSON: /],
    'd.json': ['[]', /at least one set of triples/],
    'a.xml': ['<benchmark><entry>', /expected XML: /],
    'b.xml': ['<b><entry>\n<mtriple>a | b</mtriple></entry></b>', /line 2: expected a triple .* got 'a \| b'/],
    'c.xml': [
      '<b><entry><mtriple>a | b | c</mtriple></entry></b>',
      /expected a reference for each triple set, got none for 'a : b : c'/,
    ],
  }
  const directory = t.testdir(Object.fromEntries(Object.entries(cases).map(([name, [text]]) => [name, text])))
  for (const [name, [, message]] of Object.entries(cases)) {
    await t.rejects(readTripleReferences('webnlg', [join(directory, name)]), { code: 'dataset_invalid', message })
  }
})
