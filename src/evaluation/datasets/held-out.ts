/** MRPC's validation split: pairs of the training file that GLUE names by their ids; and which GLUE files have labels. */
import type { Split } from './catalogue.ts'
import { type GlueTask, glueTasks } from './glue.ts'
import { columnsOf, plainRows, readColumns } from './table.ts'
import { linesOf, type TextFile } from './text-file.ts'

type Texts = Readonly<Partial<Record<Split, TextFile>>>

const idColumns = { first: ['#1 ID'], second: ['#2 ID'] } as const

/** The splits with validation taken out of training, where there are ids and no validation file of its own. */
export function heldOut(splits: Texts, ids: TextFile | null): Texts {
  const { train, valid } = splits
  if (ids === null || train === undefined || valid !== undefined) return splits
  const held = new Set(plainRows(ids).map(({ fields }) => `${fields[0]?.trim()} ${fields[1]?.trim()}`))
  const chosen = new Set<number>()
  for (const { line, values } of readColumns(train, plainRows(train), idColumns)) {
    if (held.has(`${values.first} ${values.second}`)) chosen.add(line)
  }
  // Lines are emptied, not removed, so that messages still name the line of the official file.
  const keep = (wanted: (line: number) => boolean): TextFile => ({
    file: train.file,
    text: linesOf(train.text)
      .map((text, i) => (i === 0 || wanted(i + 1) ? text : ''))
      .join('\n'),
  })
  return { ...splits, train: keep((line) => !chosen.has(line)), valid: keep((line) => chosen.has(line)) }
}

/** The benchmark's own test files have texts without labels: there is nothing to convert them to. */
export function isLabelled(task: GlueTask, source: TextFile): boolean {
  const [header] = plainRows({ file: source.file, text: linesOf(source.text)[0] ?? '' })
  const { label } = glueTasks[task]
  const isTest = columnsOf(header?.fields ?? [], { index: ['index', 'id'] }) !== null
  return !isTest || columnsOf(header?.fields ?? [], { label }) !== null
}
