/** From measured trainings to `results.json`. */
import { readdir } from 'node:fs/promises'
import { machine } from '../bench/report.ts'
import { candidateArms, cutArms, fullArm, loraArm, nestedArms } from './arms.ts'
import type { Compare } from './compare.ts'
import type { Inputs } from './inputs.ts'
import { weightCount } from './measure.ts'
import { readMeasured, readPlanned } from './measured-file.ts'
import type { ExperimentOptions } from './options.ts'
import type { Run } from './plan.ts'
import type { MeasuredRun, Results } from './results.ts'

export interface AssembleContext {
  readonly runs: string
  readonly inputs: Inputs
  readonly options: ExperimentOptions
  readonly command: string
  /** The whole plan, whatever part of it is run now. */
  readonly planned: readonly Run[]
  readonly fingerprintOf: (settings: object) => string
  readonly compare: Compare
}

export async function assemble(context: AssembleContext): Promise<Results> {
  const { inputs, options, command, planned, compare } = context
  const runs = await measuredRuns(context)
  const done = new Set(runs.map(({ id }) => id))
  const { base, files } = inputs
  return {
    formatVersion: 1,
    command,
    updated: new Date().toISOString(),
    machine: machine(),
    parallel: options.parallel,
    base: {
      name: base.name,
      digest: base.digest,
      parameters: weightCount(base),
      layers: base.config.layers,
      hiddenSize: base.config.hiddenSize,
    },
    data: files,
    maxNewTokens: options.maxNewTokens,
    missing: planned.map(({ id }) => id).filter((id) => !done.has(id)),
    runs,
    comparisons: await compare(runs),
  }
}

/** Those of the plan, and those of the other plan that were measured on the same data. */
async function measuredRuns({ runs, planned, fingerprintOf }: AssembleContext): Promise<MeasuredRun[]> {
  const plan = planned[0]?.plan
  const ids = new Set(planned.map(({ id }) => id))
  const ours = await Promise.all(planned.map((run) => readPlanned(runs, run, fingerprintOf(run.settings))))
  const others = (await readdir(runs)).filter((name) => !name.startsWith('.') && !ids.has(name)).sort()
  const theirs = await Promise.all(
    others.map(async (name) => {
      const run = await readMeasured(runs, name)
      return run === null || run.plan === plan ? null : readMeasured(runs, name, fingerprintOf(run.settings))
    }),
  )
  return [...ours, ...theirs].filter((run) => run !== null).toSorted(inOrder)
}

const armOrder = [loraArm, ...cutArms, ...nestedArms, ...candidateArms, fullArm].map(({ id }) => id)

const placeOf = ({ plan, seed, subjects: [first] }: MeasuredRun): number[] => [
  plan === 'main' ? 0 : 1,
  seed,
  armOrder.indexOf(first?.arm ?? ''),
  first?.ranks[0] ?? 0,
]

function inOrder(a: MeasuredRun, b: MeasuredRun): number {
  const [x, y] = [placeOf(a), placeOf(b)]
  const at = x.findIndex((value, i) => value !== y[i])
  return at < 0 ? 0 : x[at]! - y[at]!
}

/** What earlier results of the same data say of the plan that is not run now: its command, and what it lacks. */
export function withOtherPlan(results: Results, earlier: Results | null, wide: boolean): Results {
  if (earlier === null || JSON.stringify(earlier.data) !== JSON.stringify(results.data)) return results
  const done = new Set(results.runs.map(({ id }) => id))
  const missing = earlier.missing.filter((id) => id.startsWith('wide-') !== wide && !done.has(id))
  const commands = earlier.command.split('\n').filter((command) => command.includes('--wide') !== wide)
  return {
    ...results,
    missing: [...results.missing, ...missing],
    command: [...commands, results.command].join('\n'),
  }
}
