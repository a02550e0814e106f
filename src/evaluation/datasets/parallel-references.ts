/** The references of WebNLG and DART: one file for each position (`reference0`, `reference1`, ...), or the data sets' own. */
import { stat } from 'node:fs/promises'
import { errors } from '../../errors.ts'
import { jsonLinePairs, linePairs } from '../references.ts'
import { byContext, type ReferenceSet } from './reference-set.ts'
import { invalidLine, linesOf, plainName, readTextFile, type TextFile } from './text-file.ts'
import { dartContext, parseTripleSets, type TripleSet, webnlgContext } from './triples.ts'

export type TripleTask = 'webnlg' | 'dart'
type Sets = readonly [ReferenceSet, ...ReferenceSet[]]

const contextOf = { webnlg: webnlgContext, dart: dartContext } as const satisfies Record<
  TripleTask,
  (set: TripleSet) => string
>

/**
 * Reads the files that multi-bleu takes, one line for each instance and blank where there are fewer, or a stem to which
 * 0, 1, ... are added; or one file in JSON, XML, JSON lines or `context||completion`. A file with triples can be scored by
 * distinct input, as LoRA does, or by triple set, as DART does: both sets are given.
 */
export async function readTripleReferences(task: TripleTask, files: readonly string[]): Promise<Sets> {
  const paths = (await Promise.all(files.map(expandStem))).flat()
  const sources = await Promise.all(paths.map(readTextFile))
  const [first, ...others] = sources
  if (first === undefined) throw errors.validation('Expected at least one file of references, got none')
  const structured = others.length === 0 ? readStructured(task, first) : null
  return structured ?? [parallel(first, others)]
}

function readStructured(task: TripleTask, source: TextFile): Sets | null {
  const name = plainName(source.file).toLowerCase()
  const unit = 'distinct input'
  if (name.endsWith('.jsonl')) return [byContext(unit, jsonLinePairs(source))]
  if (/\.(json|xml)$/.test(name)) return tripleSets(task, source)
  const lines = linesOf(source.text)
  if (lines.length > 0 && lines.every((line) => line.trim() === '' || / : .*\|\|/.test(line))) {
    return [byContext(unit, linePairs(source))]
  }
  return null
}

function tripleSets(task: TripleTask, source: TextFile): Sets {
  const sets = parseTripleSets(source)
  const contexts = sets.map(contextOf[task])
  const pairs = sets.flatMap(({ texts }, i) => texts.map((text) => [contexts[i]!, text] as const))
  const without = sets.findIndex(({ texts }) => texts.length === 0)
  if (without >= 0) {
    throw errors.datasetInvalid(
      source.file,
      `expected a reference for each triple set, got none for '${contexts[without]}'`,
    )
  }
  const bySet = { unit: 'triple set', contexts: null, references: sets.map(({ texts }) => texts) }
  return [byContext('distinct input', pairs), bySet]
}

/** A file that is not there may be the stem of numbered ones. */
async function expandStem(file: string): Promise<string[]> {
  if (await isFile(file)) return [file]
  const found: string[] = []
  for (let number = 0; ; number++) {
    const candidates = [`${file}${number}`, `${file}${number}.gz`, `${file}${number}.txt`, `${file}${number}.txt.gz`]
    const [there] = (await Promise.all(candidates.map(async (path) => ((await isFile(path)) ? [path] : [])))).flat()
    if (there === undefined) break
    found.push(there)
  }
  if (found.length === 0) {
    throw errors.datasetInvalid(file, `expected a file of references, or ${file}0, ${file}1 and so on, found none`)
  }
  return found
}

const isFile = async (path: string) => (await stat(path).catch(() => null))?.isFile() ?? false

/** Line i of every file is a reference of instance i. */
function parallel(first: TextFile, others: readonly TextFile[]): ReferenceSet {
  const count = countOf(first, others)
  const columns = [first, ...others].map((source) => column(source, count, first))
  const references = Array.from({ length: count }, (_, i) => columns.map((lines) => lines[i]!.trim()))
  const without = references.findIndex((texts) => texts.every((text) => text === ''))
  if (without >= 0) throw invalidLine(first.file, without + 1, 'expected a reference, got a blank line in every file')
  return { unit: 'line of references', contexts: null, references }
}

/** The lines of the first file, but for blank ones at its end that no other file has. */
function countOf(first: TextFile, others: readonly TextFile[]): number {
  const lines = linesOf(first.text)
  const longest = Math.max(0, ...others.map(({ text }) => linesOf(text.trimEnd()).length))
  let count = lines.length
  while (count > longest && lines[count - 1]?.trim() === '') count -= 1
  if (count === 0) throw errors.datasetInvalid(first.file, 'expected references, got none')
  return count
}

function column(source: TextFile, count: number, first: TextFile): string[] {
  const lines = linesOf(source.text)
  // Without a line end after the last line, a blank last line leaves no trace but the end of the line before.
  if (lines.length === count - 1 && !/[\r\n]$/.test(first.text)) lines.push('')
  if (lines.length < count || lines.slice(count).some((line) => line.trim() !== '')) {
    throw errors.datasetInvalid(source.file, `expected ${count} lines as in ${first.file}, got ${lines.length}`, {
      expected: count,
      got: lines.length,
    })
  }
  return lines.slice(0, count)
}
