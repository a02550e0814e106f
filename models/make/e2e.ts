/** The E2E set from LoRA's text format (`context||completion `, gzipped) to JSON lines. */
import { parsePairLine } from '../../src/evaluation/references.ts'
import { readText } from './corpus.ts'

/** Context and completion, line after line. */
export async function readPairs(path: string) {
  const lines = (await readText(path)).split('\n')
  return lines.flatMap((line, i) => {
    if (line.trim() === '') return []
    return parsePairLine(line, (reason) => new RangeError(`${path}: line ${i + 1}: ${reason}`))
  })
}

export const jsonLines = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('')
