/** `npm run models`: makes the bundled base model and adapter, stage after stage. A stage whose result is there is skipped. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { exists } from '../../src/dylora/publish.ts'
import { convertDataset } from '../../src/evaluation/datasets/convert.ts'
import { writeInitialBase } from './initial-base.ts'
import { recipe } from './recipe.ts'
import { corpusStage, tokenizerStage } from './stages.ts'

const root = resolve(import.meta.dirname, '../..')

const usage = `Usage: npm run models -- --text <books.txt.gz> --e2e <directory of train, valid and test.txt.gz> [--work <directory>]
  [--out <directory>] [--only <stage>]`

interface Places {
  readonly text: string
  readonly e2e: string
  /** Corpus, tokenizer, checkpoints: what is not kept in the repository. */
  readonly work: string
  /** Gets `base/` and `adapters/`. */
  readonly out: string
}

interface Stage {
  readonly name: string
  /** There when the stage is done; null for one that is run whenever it is reached. */
  readonly result: (places: Places) => string | null
  readonly run: (places: Places) => Promise<unknown>
}

const initial = ({ work }: Places) => join(work, 'initial')
const base = ({ out }: Places) => join(out, 'base', recipe.base)
const adapter = ({ out }: Places) => join(out, 'adapters', recipe.adapter)
const lora = ({ work }: Places, rank: number) => join(work, `lora-${rank}`)
const e2e = ({ work }: Places, file: string) => join(work, 'e2e', file)

const stages: readonly Stage[] = [
  {
    name: 'corpus',
    result: ({ work }) => join(work, 'pretrain-valid.txt'),
    run: ({ text, work }) => corpusStage(text, work, recipe.corpus),
  },
  {
    name: 'tokenizer',
    result: ({ work }) => join(work, 'tokenizer.json'),
    run: ({ work }) => tokenizerStage(work, recipe.shape.vocabSize),
  },
  {
    name: 'e2e',
    result: (places) => e2e(places, 'test.references.jsonl'),
    run: async ({ e2e: from, work }) =>
      (await convertDataset('e2e', { from, out: join(work, 'e2e'), variant: 'lora' })).files,
  },
  {
    name: 'initial',
    result: initial,
    run: async (places) =>
      (await writeInitialBase(initial(places), places.work, recipe.shape, recipe.initialSeed)).digest,
  },
  {
    name: 'pretrain',
    result: base,
    run: (places) =>
      dylora('train', {
        ...{ base: initial(places), out: base(places) },
        ...{ data: join(places.work, 'pretrain.txt'), validation: join(places.work, 'pretrain-valid.txt') },
        ...recipe.pretraining,
        resume: true,
      }),
  },
  {
    name: 'adapter',
    result: adapter,
    run: (places) =>
      dylora('train', {
        ...{ base: base(places), out: adapter(places) },
        ...{ data: e2e(places, 'train.jsonl'), validation: e2e(places, 'valid.jsonl') },
        ...recipe.adapterTraining,
        resume: true,
      }),
  },
  ...recipe.yardsticks.map(
    (rank): Stage => ({
      name: `lora-${rank}`,
      result: (places) => lora(places, rank),
      run: (places) =>
        dylora('train', {
          ...{ base: base(places), out: lora(places, rank), method: 'lora', 'max-rank': rank },
          ...{ data: e2e(places, 'train.jsonl'), validation: e2e(places, 'valid.jsonl') },
          ...recipe.yardstickTraining,
          resume: true,
        }),
    }),
  ),
  { name: 'evaluate-validation', result: () => null, run: (places) => evaluate(places, 'validation', 'valid') },
  { name: 'evaluate-test', result: () => null, run: (places) => evaluate(places, 'test', 'test') },
  { name: 'compare', result: () => null, run: compareWithLoras },
]

const evaluate = (
  places: Places,
  split: string,
  file: string,
  measured: { readonly adapter: string; readonly ranks?: number } = { adapter: adapter(places) },
): Promise<void> =>
  dylora('evaluate', {
    ...{ base: base(places), ...measured, name: recipe.adapter, split },
    ...{ data: e2e(places, `${file}.references.jsonl`), outputs: join(places.work, 'outputs') },
  })

/** What LoRAs of one rank each reach on the same data, beside the curve of the adapter. */
async function compareWithLoras(places: Places): Promise<void> {
  for (const ranks of recipe.yardsticks) {
    await evaluate(places, 'validation', 'valid', { adapter: lora(places, ranks), ranks })
    await evaluate(places, 'test', 'test', { adapter: lora(places, ranks), ranks })
  }
  await dylora('baseline', { adapter: adapter(places), lora: recipe.yardsticks.map((rank) => lora(places, rank)) })
}

/** Runs a command of the command line from source. `true` is an option without a value, a list one that is given several times. */
async function dylora(
  command: string,
  options: Readonly<Record<string, string | number | true | readonly string[]>>,
): Promise<void> {
  const flags = Object.entries(options).flatMap(([name, value]) =>
    value === true ? [`--${name}`] : [value].flat().flatMap((one) => [`--${name}`, `${one}`]),
  )
  const args = ['--import', 'tsx', join(root, 'src/cli/main.ts'), command, ...flags]
  console.log(`dylora ${[command, ...flags].join(' ')}`)
  const [code] = await once(spawn(process.execPath, args, { cwd: root, stdio: 'inherit' }), 'exit')
  if (code !== 0) throw new Error(`dylora ${command} ended with status ${String(code)}`)
}

async function runStage({ name, result, run }: Stage, places: Places): Promise<void> {
  const there = result(places)
  if (there !== null && (await exists(there))) {
    console.log(`${name}: done already (${there})`)
    return
  }
  const started = performance.now()
  const counted = await run(places)
  console.log(`${name}: ${((performance.now() - started) / 1000).toFixed(0)} s`, counted ?? '')
}

async function main(args: string[]): Promise<void> {
  const names = ['text', 'e2e', 'work', 'out', 'only'] as const
  const { values } = parseArgs({
    args,
    options: Object.fromEntries(names.map((name) => [name, { type: 'string' as const }])),
  })
  const { text, e2e: data, work = join(root, 'models/work'), out = join(root, 'models'), only } = values
  if (text === undefined || data === undefined) throw new Error(usage)
  const chosen = only === undefined ? stages : stages.filter(({ name }) => name === only)
  if (chosen.length === 0)
    throw new Error(`--only: expected one of ${stages.map(({ name }) => name).join(', ')}, got '${only}'`)
  const places = { text: resolve(text), e2e: resolve(data), work: resolve(work), out: resolve(out) }
  for (const stage of chosen) await runStage(stage, places)
}

await main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
})
