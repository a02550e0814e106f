/** A training run on disk: parameters, their optimizer state and the step, in one file that appears whole or not at all. */
import { mkdir, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { exists } from '../dylora/publish.ts'
import {
  readSafetensorsHeader,
  readTensor,
  type SafetensorsFile,
  type TensorSource,
  writeSafetensors,
} from '../dylora/safetensors.ts'
import { errors } from '../errors.ts'
import type { Parameter } from './adamw.ts'

/** What must be the same for a run to go on as if it had not stopped, by name. */
export type Fingerprint = Readonly<Record<string, string>>

/** What a run carries from step to step beside its parameters. */
export interface Remembered {
  readonly tensors: readonly TensorSource[]
  readonly metadata: Readonly<Record<string, string>>
}

/** Where the checkpoint of a run is: beside its result, under a name that is no adapter's. */
export function checkpointPath(out: string): string {
  return join(dirname(resolve(out)), `.${basename(resolve(out))}.checkpoint`, 'checkpoint.safetensors')
}

/** The step that a checkpoint is of; null where there is none that can be read. */
export async function checkpointStep(path: string): Promise<number | null> {
  const file = await readSafetensorsHeader(path).catch(() => null)
  return file === null ? null : Number(file.metadata.step)
}

/** Steps fit a float32 exactly up to 2^24. */
const stateOf = ({ name, data, m, v, steps }: Parameter): TensorSource[] => [
  { name: `${name}.data`, shape: [data.length], data },
  { name: `${name}.m`, shape: [m.length], data: m },
  { name: `${name}.v`, shape: [v.length], data: v },
  { name: `${name}.steps`, shape: [steps.length], data: Float32Array.from(steps) },
]

export async function writeCheckpoint(
  path: string,
  parameters: readonly Parameter[],
  step: number,
  fingerprint: Fingerprint,
  { tensors, metadata }: Remembered = { tensors: [], metadata: {} },
): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  const facts = { step: String(step), ...fingerprint, ...metadata }
  await writeSafetensors(path, [...parameters.flatMap(stateOf), ...tensors], facts)
}

/**
 * Fills the parameters and gives the step to go on with, or null where there is no checkpoint. Another run's is refused.
 * `recall` takes out what else was remembered.
 */
export async function readCheckpoint(
  path: string,
  parameters: readonly Parameter[],
  fingerprint: Fingerprint,
  recall?: (file: SafetensorsFile) => Promise<void>,
): Promise<number | null> {
  if (!(await exists(path))) return null
  const file = await readSafetensorsHeader(path)
  for (const [name, expected] of Object.entries(fingerprint)) {
    const found = file.metadata[name]
    if (found !== expected) {
      throw errors.checkpointInvalid(path, `it belongs to another run: ${name} is ${found}, expected ${expected}`)
    }
  }
  for (const { name, data, m, v, steps } of parameters) {
    data.set(await readTensor(file, `${name}.data`))
    m.set(await readTensor(file, `${name}.m`))
    v.set(await readTensor(file, `${name}.v`))
    steps.set(await readTensor(file, `${name}.steps`))
  }
  await recall?.(file)
  return Number(file.metadata.step)
}

export async function removeCheckpoint(path: string): Promise<void> {
  await rm(dirname(path), { recursive: true, force: true })
}
