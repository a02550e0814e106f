#!/usr/bin/env node
/** The command line: one table of commands. Mistakes of the user are one line, bugs are a stack. */
import { DyloraError, errors } from '../errors.ts'
import { packageVersion } from './package-version.ts'

type Run = (args: string[]) => Promise<number>

/** Loads a command only when it is run, so that serving never loads training. */
const lazily =
  (load: () => Promise<{ run: Run }>): Run =>
  async (args) =>
    (await load()).run(args)

// biome-ignore format: reads as a table
const commands: Readonly<Record<string, { summary: string; run: Run }>> = {
  serve:    { summary: 'Serve the base model and its adapters over HTTP', run: lazily(() => import('./serve.ts')) },
  train:    { summary: 'Train an adapter, or a base model, from a data file', run: lazily(() => import('./train.ts')) },
  evaluate: { summary: 'Measure an adapter at every rank, and write the curve into it', run: lazily(() => import('./evaluate.ts')) },
  baseline: { summary: 'Put what LoRAs of one rank each reach beside the curve of an adapter', run: lazily(() => import('./baseline.ts')) },
  score:    { summary: 'Score outputs or predictions as the official scripts of E2E, WebNLG, DART and GLUE do', run: lazily(() => import('./score.ts')) },
  dataset:  { summary: 'Fetch and convert E2E, WebNLG, DART and GLUE data', run: lazily(() => import('./dataset.ts')) },
  import:   { summary: 'Make a base model of a Hugging Face checkpoint, or an adapter of a LoRA trained elsewhere', run: lazily(() => import('./import.ts')) },
  export:   { summary: 'Cut an adapter to a rank, as an ordinary PEFT LoRA or merged into its base', run: lazily(() => import('./export.ts')) },
  experiment: { summary: 'Train and measure every method at every rank, and report', run: lazily(() => import('./experiment.ts')) },
  worker:   { summary: 'Take training jobs from the queue', run: lazily(() => import('./worker.ts')) },
  keys:     { summary: 'Make, list and remove API keys', run: lazily(() => import('./keys.ts')) },
  bench:    { summary: 'Measure speed on this machine', run: lazily(() => import('./bench.ts')) },
  openapi:  { summary: 'Write openapi/openapi.json', run: lazily(() => import('./openapi.ts')) },
}

function help(): string {
  const lines = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(12)}${summary}`)
  return ['Usage: dylora <command> [options]', '', ...lines, '', '`dylora <command> --help` tells its options.'].join(
    '\n',
  )
}

/** Edits between two words (Levenshtein, 1966), a row at a time. */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (const [i, letter] of [...from].entries()) {
    const next = [i + 1]
    for (let j = 0; j < to.length; j++) {
      next.push(Math.min(next[j]! + 1, row[j + 1]! + 1, row[j]! + (letter === to[j] ? 0 : 1)))
    }
    row = next
  }
  return row[to.length]!
}

function unknownCommand(name: string): DyloraError {
  const [nearest] = Object.keys(commands).sort((a, b) => distance(name, a) - distance(name, b))
  const near = nearest !== undefined && distance(name, nearest) <= 2
  return errors.validation(
    `There is no command '${name}'${near ? `; did you mean ${nearest}?` : ': see dylora --help'}`,
  )
}

async function main([name, ...args]: string[]): Promise<number> {
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    console.log(help())
    return name === undefined ? 1 : 0
  }
  if (name === '--version' || name === '-v') {
    console.log(packageVersion())
    return 0
  }
  if (!Object.hasOwn(commands, name)) throw unknownCommand(name)
  return commands[name]!.run(args)
}

/** Caused by what was typed, not by a bug. */
const isUserError = (error: unknown): error is Error =>
  error instanceof DyloraError ||
  (error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'))

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  console.error(isUserError(error) ? `dylora: ${error.message}` : error)
  process.exitCode = 1
}
