/** A measured training on disk: `measured.json`, and the texts of each arm and rank beside it. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { readJsonFile } from '../../dylora/json-file.ts'
import { exists } from '../../dylora/publish.ts'
import { errors } from '../../errors.ts'
import { sameMeasured } from './fingerprint.ts'
import type { MeasuredTexts } from './measure.ts'
import type { Run } from './plan.ts'
import { type Cost, MeasuredRun, publishJson } from './results.ts'

/** `fingerprint` is of the training, and of what it was measured with. */
const MeasuredFile = z.strictObject({ fingerprint: z.string(), run: MeasuredRun })

const pathOf = (runs: string, id: string): string => join(runs, id, 'measured.json')

const textsPath = (runs: string, id: string, arm: string, rank: number): string =>
  join(runs, id, 'outputs', `${arm}-rank-${rank}.txt`)

/** Null where there is none with this fingerprint; any, where no fingerprint is asked for. */
export async function readMeasured(runs: string, id: string, fingerprint?: string): Promise<MeasuredRun | null> {
  const path = pathOf(runs, id)
  if (!(await exists(path))) return null
  const file = await readJsonFile(path, MeasuredFile, (reason) => errors.checkpointInvalid(path, reason))
  return fingerprint === undefined || sameMeasured(file.fingerprint, fingerprint) ? file.run : null
}

/** What was measured of a run of the plan, under the labels of the plan; null where something of it is missing. */
export async function readPlanned(runs: string, run: Run, fingerprint: string): Promise<MeasuredRun | null> {
  const found = await readMeasured(runs, run.id, fingerprint)
  const has = (arm: string, rank: number) => found?.measured.some((point) => point.arm === arm && point.rank === rank)
  const whole = run.subjects.every(({ arm, ranks }) => ranks.every((rank) => has(arm, rank)))
  return found !== null && whole ? { ...found, subjects: run.subjects } : null
}

/** The texts first: who sees the file finds them. */
export async function writeMeasured(
  runs: string,
  fingerprint: string,
  { id, plan, seed, settings, subjects }: Run,
  cost: Cost,
  measured: readonly MeasuredTexts[],
): Promise<void> {
  await mkdir(join(runs, id, 'outputs'), { recursive: true })
  for (const { arm, rank, texts } of measured) {
    await writeFile(textsPath(runs, id, arm, rank), texts.map((text) => `${text}\n`).join(''))
  }
  const points = measured.map(({ texts: _, ...point }) => point)
  const run = { id, plan, seed, settings, subjects, cost, measured: points }
  await publishJson(pathOf(runs, id), { fingerprint, run })
}

export async function readTexts(runs: string, id: string, arm: string, rank: number): Promise<string[]> {
  return (await readFile(textsPath(runs, id, arm, rank), 'utf8')).split('\n').slice(0, -1)
}
