/** The experiment itself: lanes of trainings, each measured when it is over, and the results written after each. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { exists } from '../../dylora/publish.ts'
import { DyloraError } from '../../errors.ts'
import { type AssembleContext, assemble, withOtherPlan } from './assemble.ts'
import { comparer, type TextsOf } from './compare.ts'
import { describePlan } from './describe-plan.ts'
import { measuredFingerprint, trainingFingerprint } from './fingerprint.ts'
import { type Inputs, readInputs } from './inputs.ts'
import { type MeasureContext, measuredMetrics, measureRun } from './measure.ts'
import { readPlanned, readTexts, writeMeasured } from './measured-file.ts'
import type { ExperimentOptions } from './options.ts'
import { planOf, type Run } from './plan.ts'
import { publishJson, readResults } from './results.ts'
import { finishedTraining, modelDirectory, type TrainContext, trainRun } from './train-run.ts'
import { writeReport } from './write-report.ts'

interface Experiment {
  readonly training: TrainContext
  readonly measuring: MeasureContext
  readonly assembling: AssembleContext
  /** Writes what is known so far; one call after the other, so that nothing older comes last. */
  readonly publish: () => Promise<void>
  readonly say: (line: string) => void
}

/** Gives 1 where a training failed; the others went on. */
export async function runExperiment(options: ExperimentOptions, command: string): Promise<number> {
  const inputs = await readInputs(options)
  const whole = planOf({ ...options, only: [] })
  const planned = planOf(options)
  if (options.dryRun) {
    for (const line of await describePlan(inputs, planned)) console.log(line)
    return 0
  }
  const experiment = experimentOf(options, inputs, whole, command)
  await mkdir(experiment.assembling.runs, { recursive: true })
  const failures = await runLanes(experiment, planned, options.parallel)
  experiment.training.signal.throwIfAborted()
  await experiment.publish()
  await writeReport(options.out, options.report)
  console.log(`The report is ${options.report}`)
  for (const failure of failures) console.error(`dylora: ${failure}`)
  return failures.length > 0 ? 1 : 0
}

function experimentOf(
  options: ExperimentOptions,
  inputs: Inputs,
  planned: readonly Run[],
  command: string,
): Experiment {
  const runs = join(options.out, 'runs')
  const { base, groups, files } = inputs
  const { validation, lossExamples, maxNewTokens } = options
  const digests = { data: files.train.digest, base: base.digest }
  const measuredWith = { validation: files.validation, test: files.test, maxNewTokens, metrics: measuredMetrics }
  const fingerprintOf = (settings: object) => measuredFingerprint(trainingFingerprint(settings, digests), measuredWith)
  const textsOf: TextsOf = (run, arm, rank) => readTexts(runs, run.id, arm, rank)
  const compare = comparer(groups, measuredMetrics[0], textsOf)
  const signal = stopSignal()
  const assembling = { runs, inputs, options, command, planned, fingerprintOf, compare }
  let published = Promise.resolve()
  return {
    training: { directory: runs, base: options.base, data: options.data, digests, signal },
    measuring: { base, validation, lossExamples, groups, maxNewTokens, threads: 1 },
    assembling,
    publish: () => {
      published = published.then(() => publishResults(assembling))
      return published
    },
    say: (line) => console.log(line),
  }
}

/** Aborted by the first SIGINT or SIGTERM: trainings save where they are. */
function stopSignal(): AbortSignal {
  const controller = new AbortController()
  const reason = new DyloraError('cancelled', 'The experiment was stopped; the same command goes on from there')
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => controller.abort(reason))
  return controller.signal
}

/** Every run once, `width` at a time; what went wrong, a line each. Bugs are thrown. */
async function runLanes(experiment: Experiment, planned: readonly Run[], width: number): Promise<string[]> {
  const { signal } = experiment.training
  const failures: string[] = []
  const queue = planned.entries()
  const lane = async () => {
    for (const [i, run] of queue) {
      if (signal.aborted) return
      try {
        await finishRun(experiment, run, `${i + 1}/${planned.length} ${run.id}`)
      } catch (error) {
        if (!(error instanceof DyloraError)) throw error
        if (!signal.aborted) failures.push(`${run.id}: ${error.message}`)
      }
    }
  }
  await Promise.all(Array.from({ length: width }, lane))
  return failures
}

async function finishRun(experiment: Experiment, run: Run, name: string): Promise<void> {
  const { training, measuring, assembling, publish, say } = experiment
  const fingerprint = assembling.fingerprintOf(run.settings)
  if ((await readPlanned(assembling.runs, run, fingerprint)) !== null) return say(`${name}: there already`)
  const found = await finishedTraining(training, run)
  if (found === null) say(`${name}: training`)
  const cost = found ?? (await trainRun(training, run))
  say(
    `${name}: ${cost.steps} steps in ${cost.seconds.toFixed(1)} s, ${(cost.flops / 1e12).toFixed(3)} TFLOP; measuring`,
  )
  const measured = await measureRun(measuring, run, modelDirectory(training, run))
  await writeMeasured(assembling.runs, fingerprint, run, cost, measured)
  const [metric] = measuredMetrics
  for (const { arm, rank, loss, metrics } of measured) {
    say(`${name}: ${arm} rank ${rank}: loss ${loss.toFixed(4)}, ${metric} ${metrics[metric]?.toFixed(2)}`)
  }
  await publish()
}

async function publishResults(assembling: AssembleContext): Promise<void> {
  const path = join(assembling.options.out, 'results.json')
  const earlier = (await exists(path)) ? await readResults(path).catch(() => null) : null
  await publishJson(path, withOtherPlan(await assemble(assembling), earlier, assembling.options.wide))
}
