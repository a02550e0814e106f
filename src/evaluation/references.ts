/** Data to evaluate on: contexts with one or more references each, from the files people have. */
import { z } from 'zod'
import { errors } from '../errors.ts'
import { invalidLine, linesOf, plainName, readTextFile, type TextFile } from './datasets/text-file.ts'

export interface ReferenceGroup {
  readonly context: string
  readonly references: readonly string[]
}

/** A context and one text that says it. */
export type Pair = readonly [context: string, completion: string]

const Line = z.union([
  z.object({ context: z.string().min(1), completion: z.string().min(1) }),
  z.object({ context: z.string().min(1), references: z.array(z.string()).min(1) }),
])

/**
 * Reads JSON lines of `{context, completion}` or `{context, references}`, or lines of `context||completion`; `.gz` too.
 * Lines of one context become one group, in the order of first appearance. Throws `dataset_invalid`, naming the line.
 */
export async function readReferences(file: string): Promise<ReferenceGroup[]> {
  const text = await readTextFile(file)
  return groupByContext(plainName(file).endsWith('.jsonl') ? jsonLinePairs(text) : linePairs(text))
}

/** One group for each distinct context. */
export function groupByContext(pairs: Iterable<Pair>): ReferenceGroup[] {
  const groups = new Map<string, string[]>()
  for (const [context, reference] of pairs) {
    const references = groups.get(context)
    if (references === undefined) groups.set(context, [reference])
    else references.push(reference)
  }
  return [...groups].map(([context, references]) => ({ context, references }))
}

/** The format of LoRA's data files, `context||completion`; the blank at the end of a completion is dropped. */
export const linePairs = (text: TextFile): Pair[] =>
  fromLines(text, (line, fail) => {
    const at = line.indexOf('||')
    if (at < 0) throw fail("expected 'context||completion'")
    return [[line.slice(0, at).trim(), line.slice(at + 2).trim()]]
  })

/** JSON lines of `{context, completion}` or `{context, references}`; other members do not matter. */
export const jsonLinePairs = (text: TextFile): Pair[] =>
  fromLines(text, (line, fail) => {
    const parsed = Line.safeParse(parseJson(line, fail))
    if (!parsed.success) throw fail('expected {"context", "completion"} or {"context", "references"}')
    const { context, ...rest } = parsed.data
    return ('references' in rest ? rest.references : [rest.completion]).map(
      (reference) => [context, reference] as const,
    )
  })

type Fail = (reason: string) => Error

function fromLines({ file, text }: TextFile, parse: (line: string, fail: Fail) => readonly Pair[]): Pair[] {
  const pairs = linesOf(text).flatMap((line, i) =>
    line.trim() === '' ? [] : parse(line, (reason) => invalidLine(file, i + 1, reason)),
  )
  if (pairs.length === 0) throw errors.datasetInvalid(file, 'expected at least one example, got none')
  return pairs
}

function parseJson(line: string, fail: Fail): unknown {
  try {
    return JSON.parse(line)
  } catch (error) {
    throw fail(error instanceof Error ? error.message : String(error))
  }
}
