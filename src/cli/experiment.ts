/** `dylora experiment`: trains and measures every arm of the comparison, goes on where it was stopped, and reports. */
import { experimentHelp, parseExperimentOptions } from './experiment/options.ts'
import { runExperiment } from './experiment/run.ts'
import { writeReport } from './experiment/write-report.ts'

export async function run(args: string[]): Promise<number> {
  const parsed = parseExperimentOptions(args)
  if (parsed.kind === 'help') console.log(experimentHelp())
  else if (parsed.kind === 'report') await writeReport(parsed.out, parsed.report)
  else if (parsed.kind === 'experiment') return runExperiment(parsed.options, args.join(' '))
  return 0
}
