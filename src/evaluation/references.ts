/** Data to evaluate on: contexts with one or more references each, from the files people have. */
import { readFile } from 'node:fs/promises'
import { gunzipSync } from 'node:zlib'
import { z } from 'zod'
import { errors } from '../errors.ts'

export interface ReferenceGroup {
  readonly context: string
  readonly references: readonly string[]
}

const Line = z.union([
  z.strictObject({ context: z.string().min(1), completion: z.string().min(1) }),
  z.strictObject({ context: z.string().min(1), references: z.array(z.string()).min(1) }),
])

/**
 * Reads JSON lines of `{context, completion}` or `{context, references}`, or lines of `context||completion`; `.gz` too.
 * Lines of one context become one group, in the order of first appearance. Throws `dataset_invalid`, naming the line.
 */
export async function readReferences(file: string): Promise<ReferenceGroup[]> {
  const bytes = await readFile(file).catch((error: unknown) => {
    throw errors.datasetInvalid(file, error instanceof Error ? error.message : String(error))
  })
  const name = file.replace(/\.gz$/, '')
  const text = (file === name ? bytes : gunzipSync(bytes)).toString('utf8')
  const parse = name.endsWith('.jsonl') ? parseJsonLine : parsePairLine
  const groups = groupByContext(
    text
      .split('\n')
      .flatMap((line, i) => (line.trim() === '' ? [] : parse(line, (reason) => invalid(file, i, reason)))),
  )
  if (groups.length === 0) throw errors.datasetInvalid(file, 'expected at least one example, got none')
  return groups
}

/** One group for each distinct context. */
export function groupByContext(pairs: Iterable<readonly [context: string, reference: string]>): ReferenceGroup[] {
  const groups = new Map<string, string[]>()
  for (const [context, reference] of pairs) {
    const references = groups.get(context)
    if (references === undefined) groups.set(context, [reference])
    else references.push(reference)
  }
  return [...groups].map(([context, references]) => ({ context, references }))
}

type Pairs = (readonly [string, string])[]

/** The format of LoRA's data files; the blank at the end of a completion is dropped. */
export function parsePairLine(line: string, fail: (reason: string) => Error): Pairs {
  const at = line.indexOf('||')
  if (at < 0) throw fail("expected 'context||completion'")
  return [[line.slice(0, at).trim(), line.slice(at + 2).trim()]]
}

function parseJsonLine(line: string, fail: (reason: string) => Error): Pairs {
  const parsed = Line.safeParse(parseJson(line, fail))
  if (!parsed.success) throw fail('expected {"context", "completion"} or {"context", "references"}')
  const { context, ...rest } = parsed.data
  return ('references' in rest ? rest.references : [rest.completion]).map((text) => [context, text] as const)
}

function parseJson(line: string, fail: (reason: string) => Error): unknown {
  try {
    return JSON.parse(line)
  } catch (error) {
    throw fail(error instanceof Error ? error.message : String(error))
  }
}

const invalid = (file: string, index: number, reason: string) =>
  errors.datasetInvalid(file, `line ${index + 1}: ${reason}`, { line: index + 1 })
