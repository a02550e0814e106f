/** The E2E set from LoRA's text format (`context||completion `, gzipped) to JSON lines. */
import { readTextFile } from '../../src/evaluation/datasets/text-file.ts'
import { linePairs } from '../../src/evaluation/references.ts'

/** Context and completion, line after line. */
export const readPairs = async (path: string) => linePairs(await readTextFile(path))

export const jsonLines = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('')
