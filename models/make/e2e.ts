/** The E2E set from LoRA's text format (`context||completion `) to the trainer's JSON lines, and to reference groups. */
import { readText } from './corpus.ts'

export interface E2ePair {
  readonly context: string
  readonly completion: string
}
export interface E2eGroup {
  readonly context: string
  readonly references: readonly string[]
}

export async function readE2e(path: string): Promise<E2ePair[]> {
  const lines = (await readText(path)).split('\n').filter((line) => line.includes('||'))
  return lines.map((line) => {
    const at = line.indexOf('||')
    return { context: line.slice(0, at).trim(), completion: line.slice(at + 2).trim() }
  })
}

/** One group for each distinct context, in the order of first appearance. */
export function groupByContext(pairs: readonly E2ePair[]): E2eGroup[] {
  const groups = new Map<string, string[]>()
  for (const { context, completion } of pairs) {
    const references = groups.get(context)
    if (references === undefined) groups.set(context, [completion])
    else references.push(completion)
  }
  return [...groups].map(([context, references]) => ({ context, references }))
}

export const jsonLines = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('')
