/** `dylora score` from official files to a table or a JSON object. */
import { existsSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { gunzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { run } from '../../src/cli/score.ts'

/** What the command prints, line after line. */
async function printed(t: Test, args: readonly string[]): Promise<string[]> {
  const said = t.capture(console, 'log')
  t.equal(await run([...args]), 0)
  const lines = said().map((call) => String(call.args[0]))
  said.restore()
  return lines
}
type Json = Readonly<Record<string, number>> & {
  readonly ci95?: Readonly<Record<string, [number, number]>>
  readonly against?: Readonly<
    Record<string, { value: number; difference: number; pValue: number; ci95: [number, number] }>
  >
}
const json = async (t: Test, args: readonly string[]) => JSON.parse((await printed(t, [...args, '--json']))[0]!) as Json

const references =
  'The inn serves fish by the river.\nFish is served at the inn.\n\nA cheap pub is in the city centre.\n'
const hypotheses = 'The inn serves fish near the river.\nA pub is in the city centre.\n'

t.test('E2E: the official names and units, rounded in the table and whole in JSON', async (t) => {
  const directory = t.testdir({ refs: references, hyps: hypotheses })
  const args = ['--task', 'e2e', '--references', join(directory, 'refs'), '--hypotheses', join(directory, 'hyps')]
  const scores = await json(t, args)
  t.ok(['BLEU', 'NIST', 'METEOR_no_paraphrases', 'ROUGE_L', 'CIDEr', 'NIST_perl'].every((name) => name in scores))
  t.ok(scores.BLEU! > 0.4 && scores.BLEU! < 1, `${scores.BLEU}`)
  t.same(await json(t, [...args, '--metrics', 'NIST, BLEU']), { BLEU: scores.BLEU, NIST: scores.NIST })
  const lines = await printed(t, args)
  t.equal(lines.length, Object.keys(scores).length)
  t.match(lines[0], new RegExp(`^BLEU +${scores.BLEU?.toFixed(4)}$`))
})

t.test(
  'webnlg and dart take several reference files, on the texts as they are and as LoRA prepares them',
  async (t) => {
    const directory = t.testdir({
      ref0: 'An Inn.\nA pub near Oak-Hall.\n',
      ref1: 'The inn.\n\n',
      hyps: 'an inn .\nA pub near Oak-Hall.\n',
    })
    const at = (name: string) => join(directory, name)
    for (const task of ['webnlg', 'dart']) {
      const args = ['--task', task, '--hypotheses', at('hyps'), '--references']
      const scores = await json(t, [...args, at('ref0'), at('ref1')])
      t.equal(scores.BLEU_lower_tokenized, 100)
      t.ok(scores.BLEU! < 90, 'case counts')
      t.same(await json(t, [...args, at('ref0'), '--references', at('ref1')]), scores)
      t.same(await json(t, [...args, at('ref')]), scores)
    }
  },
)

t.test('GLUE: the metrics of the task, and null where one is not defined', async (t) => {
  const predictions = (values: readonly (string | number)[]) =>
    ['index\tprediction', ...values.map((value, i) => `${i}\t${value}`), ''].join('\n')
  const directory = t.testdir({
    'mrpc.tsv': 'Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\ta\tb\tx\ty\n1\ta\tb\tx\ty\n0\ta\tb\tx\ty\n',
    'stsb.tsv': 'sentence1\tsentence2\tscore\na\tb\t1\nc\td\t2\ne\tf\t4\n',
    'labels.tsv': predictions([1, 0, 0]),
    'scores.tsv': predictions([0, 2, 10]),
    'same.tsv': predictions([1, 1, 1]),
  })
  const at = (name: string) => join(directory, name)
  const mrpc = await json(t, ['--task', 'glue/mrpc', '--references', at('mrpc.tsv'), '--hypotheses', at('labels.tsv')])
  t.same(mrpc, { accuracy: 2 / 3, f1: 2 / 3 })
  const stsb = ['--task', 'glue/stsb', '--references', at('stsb.tsv'), '--hypotheses']
  const scores = await json(t, [...stsb, at('scores.tsv')])
  t.equal(scores.spearmanr, 1)
  t.ok(Math.abs(scores.pearson! - 16 / Math.sqrt((42 / 9) * 56)) < 1e-12)
  t.same(await json(t, [...stsb, at('same.tsv')]), { pearson: null, spearmanr: null })
  t.match((await printed(t, [...stsb, at('same.tsv')]))[0], /^pearson +undefined$/)
})

t.test('intervals and a paired comparison are seeded', async (t) => {
  const lines = Array.from({ length: 40 }, (_, i) => `Inn ${i} serves fish and chips by the river ${i % 7}.`)
  const directory = t.testdir({
    refs: `${lines.join('\n\n')}\n`,
    good: `${lines.map((line, i) => (i % 3 === 0 ? line.replace('fish', 'meat') : line)).join('\n')}\n`,
    poor: `${lines.map((line, i) => (i % 2 === 0 ? line.replace('fish and', 'very many') : line)).join('\n')}\n`,
  })
  const at = (name: string) => join(directory, name)
  const args = ['--task', 'e2e', '--references', at('refs'), '--hypotheses', at('good'), '--bootstrap', '200']
  const { BLEU, ci95 } = await json(t, args)
  t.ok(ci95!.BLEU![0] < BLEU! && BLEU! < ci95!.BLEU![1])
  t.same((await json(t, [...args, '--seed', '42'])).ci95, ci95)
  t.notSame((await json(t, [...args, '--seed', '1'])).ci95, ci95)
  const { against } = await json(t, [...args, '--against', at('poor')])
  const { BLEU: other } = await json(t, ['--task', 'e2e', '--references', at('refs'), '--hypotheses', at('poor')])
  t.equal(against!.BLEU!.value, other)
  t.equal(against!.BLEU!.difference, BLEU! - other!)
  t.ok(against!.BLEU!.pValue < 0.05 && against!.BLEU!.ci95[0] > 0)
  t.match(
    (await printed(t, [...args, '--against', at('poor')]))[0],
    /^BLEU .*\[.*\] {2}against 0\.\d+: \+0\.\d+ {2}\[.*\] {2}p 0\.\d/,
  )
})

t.test('a mistake on the command line names the option, and help the formats', async (t) => {
  const rejects = (args: string[], message: RegExp) => t.rejects(run(args), { code: 'validation', message })
  await rejects([], /^--task is required: see dylora score --help$/)
  await rejects(['--task', 'e2d'], /^--task: expected one of e2e, webnlg, dart, glue\/cola, .*, got 'e2d'$/)
  await rejects(['--task', 'e2e', '--hypotheses', 'a'], /^--references is required/)
  await rejects(['--task', 'e2e', '--references', 'a'], /^--hypotheses is required/)
  await rejects(['--task', 'e2e', '--references', 'a', 'b', '--hypotheses', 'c'], /expected one file for e2e, got a, b/)
  await rejects(['--task', 'dart', '--references', 'a', '--hypotheses', 'b', 'c'], /Expected an option, got 'c'/)
  const given = ['--task', 'e2e', '--references', 'a', '--hypotheses', 'b']
  await rejects([...given, '--bootstrap', 'few'], /^--bootstrap: expected a whole number from 0/)
  await rejects(
    [...given, '--bootstrap', '0', '--against', 'c'],
    /^--bootstrap: expected a whole number from 1, got '0'/,
  )
  await rejects([...given, '--seed', 'x'], /^--seed/)
  await t.rejects(run([...given, '--ref', 'x']), { code: 'ERR_PARSE_ARGS_UNKNOWN_OPTION' })
  const directory = t.testdir({ refs: references, hyps: hypotheses })
  const files = ['--references', join(directory, 'refs'), '--hypotheses', join(directory, 'hyps')]
  await rejects(
    ['--task', 'e2e', ...files, '--metrics', 'BLEU,bleu'],
    /^--metrics: expected names of BLEU, NIST, .* for e2e, got 'bleu'$/,
  )
  await rejects([...given, '--task', 'dart'], /^--task: expected once, got it 2 times$/)
  await t.rejects(run(given), { code: 'dataset_invalid', message: /expected a file, got none under this name/ })
  const blank = join(t.testdir({ refs: references, blank: '\n'.repeat(2) }), 'blank')
  const refs = blank.replace(/blank$/, 'refs')
  await t.rejects(run(['--task', 'e2e', '--references', refs, '--hypotheses', blank]), {
    code: 'dataset_invalid',
    message: /expected outputs, one for each .*, got 2 blank lines/,
  })
  await t.rejects(run(['--task', 'e2e', '--references', dirname(refs), '--hypotheses', blank]), {
    code: 'dataset_invalid',
    message: /expected a file, got a directory/,
  })
  t.match(
    (await printed(t, ['--help'])).join(),
    /webnlg, dart\n.*\n.*\n {2}glue\/cola, .*, glue\/rte\n {4}references: .*\n {4}hypotheses: TSV/,
  )
})

const data = resolve(import.meta.dirname, '../../../shared/data')
if (existsSync(join(data, 'metric-vectors'))) {
  const vectors = join(data, 'metric-vectors')
  const expected = (name: string) => JSON.parse(readFileSync(join(vectors, name), 'utf8')) as Record<string, never>
  const close = (t: Test, found: number | undefined, wanted: number, digits: number) =>
    t.equal(found?.toFixed(digits), wanted.toFixed(digits))

  t.test('the official scores of real E2E outputs, by line and by MR', async (t) => {
    const official = expected('e2e/expected.json') as Record<
      string,
      { bleu_py: number; nist_py: number; nist_perl: number }
    >
    const args = [
      '--task',
      'e2e',
      '--references',
      join(data, 'e2e/testset_w_refs.csv.gz'),
      '--metrics',
      'BLEU,NIST,NIST_perl',
      '--hypotheses',
    ]
    // The system whose two NISTs differ most.
    const system = 'sheff1'
    const file = gunzipSync(readFileSync(join(vectors, `e2e/primary/${system}.json.gz`))).toString('utf8')
    const outputs = JSON.parse(file) as { mr: string; hyp: string }[]
    const directory = t.testdir({ lines: outputs.map(({ hyp }) => `${hyp}\n`).join('') })
    const rows = outputs.toReversed().map(({ mr, hyp }) => `${mr}\t${hyp}\n`)
    await writeFile(join(directory, 'rows.tsv'), `MR\toutput\n${rows.join('')}`)
    const scores = await json(t, [...args, join(directory, 'lines')])
    close(t, scores.BLEU, official[system]!.bleu_py, 12)
    close(t, scores.NIST, official[system]!.nist_py, 10)
    close(t, scores.NIST_perl, official[system]!.nist_perl, 4)
    t.same(await json(t, [...args, join(directory, 'rows.tsv')]), scores)
  })

  t.test('the official scores of real DART and WebNLG outputs', async (t) => {
    const at = (name: string) => join(vectors, 'multibleu', name)
    const dart = ['--task', 'dart', '--hypotheses', at('dart_bart_large_hyp.txt.gz'), '--metrics', 'BLEU,TER_tercom']
    const scores = await json(t, [...dart, '--references', ...[0, 1, 2].map((i) => at(`dart_ref${i}.txt.gz`))])
    close(t, scores.BLEU, 48.56, 2)
    close(t, scores.TER_tercom, 0.446964626760908, 10)
    const webnlg = [
      '--task',
      'webnlg',
      '--hypotheses',
      at('webnlg2020_hyp.txt.gz'),
      '--references',
      at('webnlg2020_ref'),
    ]
    close(t, (await json(t, [...webnlg, '--metrics', 'BLEU'])).BLEU, 51.32, 2)
  })
}
