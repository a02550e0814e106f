/** `dylora experiment`: trains and measures every arm of the comparison, goes on where it was stopped, and reports. */
import { basename, isAbsolute } from 'node:path'
import { experimentHelp, parseExperimentOptions } from './experiment/options.ts'
import { runExperiment } from './experiment/run.ts'
import { writeReport } from './experiment/write-report.ts'

/** The arguments, without the directories of this machine: what is outside the working directory is told by its name. */
const commandOf = (args: readonly string[]): string =>
  args.map((arg) => (isAbsolute(arg) || arg.startsWith('..') ? basename(arg) : arg)).join(' ')

export async function run(args: string[]): Promise<number> {
  const parsed = parseExperimentOptions(args)
  if (parsed.kind === 'help') console.log(experimentHelp())
  else if (parsed.kind === 'report') await writeReport(parsed.out, parsed.report)
  else if (parsed.kind === 'experiment') return runExperiment(parsed.options, commandOf(args))
  return 0
}
