/** `dylora bench report`: docs/benchmarks.md from the JSON of runs. */
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { errors } from '../../errors.ts'
import { BenchRun, factsOf, goalRows, markdownTable } from './report.ts'

const intro = [
  '# Benchmarks',
  '',
  'Made by `npm run bench -- report <runs> > docs/benchmarks.md` from what `npm run bench -- <benchmark> --json` printed. The weights are',
  'random, of the shape that each run names, made on the spot. Cases of a table are measured in turn, round after round, so ratios within',
  'a run hold; milliseconds of two runs, or two machines, are not to be compared. Warm-up is left out. What misses its goal says NO.',
  '',
  'Nothing here was measured on a GPU: no run of the CUDA provider, with its float16 cache on the device, has been made yet.',
  '',
]

/** Throws `validation` for a file that is no run. */
export async function benchmarksDocument(files: readonly string[]): Promise<string> {
  const runs = await Promise.all(files.map(readRun))
  return `${[...intro, ...runs.flatMap(sectionOf)].join('\n').trimEnd()}\n`
}

async function readRun(file: string): Promise<BenchRun> {
  try {
    return BenchRun.parse(JSON.parse(await readFile(file, 'utf8')))
  } catch (error) {
    throw errors.validation(`${basename(file)}: expected what a benchmark printed with --json`, { cause: error })
  }
}

function sectionOf({ benchmark, date, machine, settings, tables, goals }: BenchRun): string[] {
  return [
    `## ${benchmark}`,
    '',
    `${date}; ${factsOf(machine)}; ${factsOf(settings)}.`,
    '',
    ...(goals.length === 0 ? [] : [markdownTable(goalRows(goals)), '']),
    ...tables.flatMap(({ title, note, rows }) => [
      `### ${title}`,
      '',
      `${note[0]?.toUpperCase()}${note.slice(1)}.`,
      '',
      markdownTable(rows),
      '',
    ]),
  ]
}
