/** Puts a report on disk: the Markdown file, and its charts in a directory of the same name beside it. */
import { mkdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { publishFile } from '../../dylora/publish.ts'
import { charts } from './charts.ts'
import { report } from './report.ts'
import { readResults } from './results.ts'

/** From `results.json` of the experiment in `out`. */
export async function writeReport(out: string, file: string): Promise<void> {
  const results = await readResults(join(out, 'results.json'))
  const figures = { main: await charts(results, 'main'), wide: await charts(results, 'wide') }
  const name = basename(file).replace(/\.md$/, '')
  const directory = join(dirname(file), name === basename(file) ? `${name}-charts` : name)
  await mkdir(directory, { recursive: true })
  for (const { file: chart, svg } of [...figures.main, ...figures.wide]) await publishText(join(directory, chart), svg)
  await publishText(file, report(results, figures, basename(directory)))
}

const publishText = (path: string, text: string): Promise<void> => publishFile(path, (handle) => handle.writeFile(text))
