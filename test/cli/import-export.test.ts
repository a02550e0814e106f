/** The commands that turn a checkpoint into a base and an adapter into a PEFT LoRA. */
import { join } from 'node:path'
import t from 'tap'
import { run as runExport } from '../../src/cli/export.ts'
import { run as runImport } from '../../src/cli/import.ts'
import { readAdapter, writeAdapter } from '../../src/dylora/adapter-directory.ts'
import { readBaseModel } from '../../src/dylora/base-model.ts'
import { randomAdapter } from '../fixtures/adapters.ts'
import { fixturePath } from '../fixtures/golden.ts'

t.test('import writes a base directory and says what it filled in', async (t) => {
  const out = join(t.testdir(), 'base')
  const said = t.capture(console, 'log')
  t.equal(await runImport([fixturePath('gpt2-float16-buffers'), '--out', out]), 0)
  const { digest } = await readBaseModel(out)
  const lines = said().map(({ args }) => String(args[0]))
  t.match(lines, [/^bos_token_id is taken to be 0/, /^eos_token_id/, new RegExp(`to .*base \\(${digest}\\)$`)])
})

t.test('export writes one rank of an adapter', async (t) => {
  const directory = t.testdir()
  t.capture(console, 'log')
  await writeAdapter(join(directory, 'a'), randomAdapter(1))
  const to = (rank: string) =>
    runExport(['--adapter', join(directory, 'a'), '--rank', rank, '--out', join(directory, 'b')])
  t.equal(await to('2'), 0)
  t.strictSame((await readAdapter(join(directory, 'b'))).ranks, [2])
  await t.rejects(to('9'), { code: 'rank_not_allowed', message: /Rank 9 is not allowed: expected one of 1, 2, 3, 4/ })
  await t.rejects(to('two'), { code: 'rank_not_allowed', message: /Rank two/ })
})

t.test('export merges into the base, and says which tokens belong around the context', async (t) => {
  const directory = t.testdir()
  const [base, a, out] = [join(directory, 'base'), join(directory, 'a'), join(directory, 'out')]
  const said = t.capture(console, 'log')
  const lines = () => said().map(({ args }) => String(args[0]))
  await runImport([fixturePath('gpt2'), '--out', base])
  const { digest: baseDigest } = await readBaseModel(base)
  await writeAdapter(a, randomAdapter(1, 4, { baseDigest, prompt: { prefix: [], suffix: [0, 7] } }))
  lines()
  t.equal(await runExport(['--adapter', a, '--rank', '3', '--merge', '--base', base, '--out', out]), 0)
  t.match(lines(), [/^Wrote rank 3 of a to .*out as a merged checkpoint$/, /nothing before and token ids 0 7 after/])
  t.equal(await runImport([out, '--out', join(directory, 'again')]), 0)
  await t.rejects(runExport(['--adapter', a, '--rank', '3', '--merge', '--out', out]), {
    code: 'validation',
    message: '--merge: expected --base as well',
  })
  const another = ['--base', join(directory, 'again'), '--adapter', a, '--rank', '3', '--out', out]
  await t.rejects(runExport(another), { code: 'adapter_invalid', message: /it belongs to base gpt2/ })
})

t.test('import makes an adapter of a LoRA, and says what it holds', async (t) => {
  const directory = t.testdir()
  const [base, out] = [join(directory, 'base'), join(directory, 'a')]
  const said = t.capture(console, 'log')
  await runImport([fixturePath('gpt2'), '--out', base])
  said()
  const lora = (...more: string[]) =>
    runImport(['--lora', fixturePath('loralib', 'q-and-v.pt'), '--base', base, '--out', out, ...more])
  t.equal(await lora('--alpha', '8', '--prompt-prefix', '3,4', '--prompt-suffix', '0'), 0)
  t.match(said(), [{ args: [/^Imported .*q-and-v\.pt to .*a: rank 1, 2, 3, 4 of q_proj, v_proj \(sha256:/] }])
  t.match(await readAdapter(out), { loraAlpha: 8, prompt: { prefix: [3, 4], suffix: [0] } })
  t.equal(await lora('--alpha', '8', '--method', 'lora', '--target-modules', 'q_proj,k_proj'), 0)
  t.match(await readAdapter(out), { ranks: [4], targetModules: ['q_proj', 'k_proj'] })
  const mistakes: Readonly<Record<string, readonly string[]>> = {
    '--alpha: expected a positive number': ['--alpha', '0'],
    'alpha: expected that of the training': [],
    '--method: expected dylora or lora': ['--alpha', '8', '--method', 'full'],
    '--target-modules: expected names among q_proj': ['--alpha', '8', '--target-modules', 'q_proj,query'],
    '--prompt-suffix: expected token ids such as 1,2': ['--alpha', '8', '--prompt-suffix', 'eos'],
  }
  for (const [message, args] of Object.entries(mistakes)) {
    await t.rejects(lora(...args), { code: 'validation', message: new RegExp(`^${message}`) })
  }
  const forgotten = [fixturePath('gpt2'), '--out', out, '--alpha', '8']
  await t.rejects(runImport(forgotten), { code: 'validation', message: '--alpha: expected --lora as well' })
})

t.test('without what they need both tell their usage', async (t) => {
  await t.rejects(runImport([]), { code: 'validation', message: /^Usage: dylora import/ })
  await t.rejects(runImport(['a', 'b', '--out', 'c']), { code: 'validation' })
  await t.rejects(runExport(['--rank', '2']), { code: 'validation', message: /^Usage: dylora export/ })
  const said = t.capture(console, 'log')
  t.strictSame(await Promise.all([runImport(['--help']), runExport(['--help'])]), [0, 0])
  t.match(
    said().map(({ args }) => args[0]),
    [/^Usage: dylora import/, /^Usage: dylora export/],
  )
})
