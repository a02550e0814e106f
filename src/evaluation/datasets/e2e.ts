/** The references of the E2E challenge, in the formats in which they go about. */
import { errors } from '../../errors.ts'
import { jsonLinePairs, linePairs, type Pair } from '../references.ts'
import { byContext, type ReferenceSet } from './reference-set.ts'
import { columnsOf, delimiterOf, quotedRows, readColumns } from './table.ts'
import { invalidLine, linesOf, plainName, readTextFile, type TextFile } from './text-file.ts'

const unit = 'distinct MR'

const columns = {
  mr: ['mr', 'source', 'src', 'input', 'meaning_representation'],
  ref: ['ref', 'reference', 'human_reference', 'target', 'output'],
} as const

/**
 * Reads the challenge's CSV (`mr,ref`) or TSV, LoRA's lines of `context||completion`, JSON lines, or plain text: one
 * reference a line, a blank line between instances. The same MR is one instance wherever its references stand.
 */
export async function readE2eReferences(file: string): Promise<ReferenceSet> {
  const source = await readTextFile(file)
  if (source.text.trim() === '') throw errors.datasetInvalid(file, 'expected references, got none')
  const name = plainName(file).toLowerCase()
  if (name.endsWith('.jsonl')) return byContext(unit, jsonLinePairs(source))
  if (isTable(source)) return byContext(unit, e2eTablePairs(source))
  return isPairs(source) ? byContext(unit, linePairs(source)) : blocks(source)
}

/** MR and reference of each row, as they are. */
export function e2eTablePairs(source: TextFile): Pair[] {
  const rows = readColumns(source, quotedRows(source, delimiterOf(source)), columns)
  if (rows.length === 0) throw errors.datasetInvalid(source.file, 'expected references, got none below the header')
  return rows.map(({ line, values: { mr, ref } }) => {
    if (mr.trim() === '') throw invalidLine(source.file, line, 'expected an MR, got an empty field')
    if (ref.trim() === '') throw invalidLine(source.file, line, 'expected a reference, got an empty field')
    return [mr.trim(), ref]
  })
}

function isTable(source: TextFile): boolean {
  if (/\.(csv|tsv)$/i.test(plainName(source.file))) return true
  const [first = ''] = linesOf(source.text)
  return (
    columnsOf(
      first.split(/[,\t]/).map((name) => name.replaceAll('"', '')),
      columns,
    ) !== null
  )
}

const isPairs = ({ text }: TextFile) => linesOf(text).some((line) => /^[^|].* : .*\|\|/.test(line))

/** References in blocks, as the official script reads them. Blank lines at the start and the end do not matter. */
function blocks({ file, text }: TextFile): ReferenceSet {
  const references: string[][] = [[]]
  for (const [i, line] of linesOf(text.trimEnd()).entries()) {
    if (line.trim() !== '') references.at(-1)?.push(line.trim())
    else if (references.at(-1)?.length !== 0) references.push([])
    else if (references.length > 1) throw invalidLine(file, i + 1, 'expected a reference, got a second blank line')
  }
  return { unit: 'instance', contexts: null, references }
}
