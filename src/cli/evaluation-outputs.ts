/** The texts that a curve rests on, on disk: one file for each set and rank, a line for each context. */
import { cp, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { AdapterContent } from '../dylora/adapter-directory.ts'
import { writeAdapter } from '../dylora/adapter-directory.ts'
import { exists } from '../dylora/publish.ts'
import type { EvaluatedRank } from '../evaluation/evaluate.ts'

export interface Outputs {
  readonly texts: readonly EvaluatedRank[]
  /** How they were generated; undefined is greedily. */
  readonly decoding: string | undefined
}

/** `e2e-test-rank-4.txt`, or `e2e-test-num_beams=10-rank-4.txt`. */
function fileName({ set, rank }: EvaluatedRank, decoding: string | undefined): string {
  const parts = [set.name, set.split, ...(decoding === undefined ? [] : [decoding]), `rank-${rank}`]
  return `${parts.join('-').replace(/[^\p{L}\p{N}_.=-]+/gu, '-')}.txt`
}

export async function writeOutputs(directory: string, { texts, decoding }: Outputs): Promise<void> {
  await mkdir(directory, { recursive: true })
  for (const one of texts) {
    const lines = one.hypotheses.map((text) => `${text}\n`)
    await writeFile(join(directory, fileName(one, decoding)), lines.join(''))
  }
}

/** Where an adapter keeps its outputs: beside the curve, which they appear with. */
export const outputsOf = (adapter: string): string => join(adapter, 'outputs')

/** Publishes an adapter that was there already, with a new curve and new outputs; those of other measurements stay. */
export async function publishMeasured(
  directory: string,
  content: AdapterContent,
  outputs: Outputs,
  elsewhere: string | undefined,
): Promise<void> {
  await writeAdapter(directory, content, async (temporary) => {
    const place = outputsOf(temporary)
    if (await exists(outputsOf(directory))) await cp(outputsOf(directory), place, { recursive: true })
    for (const one of outputs.texts) await rm(join(place, fileName(one, outputs.decoding)), { force: true })
    if (elsewhere === undefined && outputs.texts.length > 0) await writeOutputs(place, outputs)
  })
  if (elsewhere !== undefined) await writeOutputs(elsewhere, outputs)
}
