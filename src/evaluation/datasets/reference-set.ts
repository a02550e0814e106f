/** What outputs are scored against, and the outputs themselves once they are in the order of their references. */
import { errors } from '../../errors.ts'
import { groupByContext, type Pair, type ReferenceGroup } from '../references.ts'
import { type Output, outputsOf } from './outputs.ts'
import { excerpt, invalidLine, readTextFile } from './text-file.ts'

export interface ReferenceSet {
  /** What one output answers, for messages: `distinct MR`. */
  readonly unit: string
  /** The inputs, where the references' file has them. */
  readonly contexts: readonly string[] | null
  /** For each instance at least one that is not blank; blank ones are places that the file left empty. */
  readonly references: readonly (readonly string[])[]
}

/** The set of a file that has inputs: one instance for each distinct one, in the order of first appearance. */
export function byContext(unit: string, pairs: Iterable<Pair>): ReferenceSet {
  const groups = groupByContext(pairs)
  return {
    unit,
    contexts: groups.map(({ context }: ReferenceGroup) => context),
    references: groups.map(({ references }) => references),
  }
}

/** Outputs in the order of the references. */
export interface Outputs {
  readonly set: ReferenceSet
  readonly hypotheses: readonly string[]
}

/**
 * Reads a system's outputs: one a line, in the order of the references, or TSV, CSV and JSON that may name the
 * inputs and then come in any order. An empty line is an empty output, unless all are. Where the references can be counted in several
 * ways, the set with as many instances as there are outputs is taken. Throws `dataset_invalid` for other counts.
 */
export async function readOutputs(file: string, sets: readonly [ReferenceSet, ...ReferenceSet[]]): Promise<Outputs> {
  const source = await readTextFile(file)
  const outputs = outputsOf(source)
  if (outputs.length === 0)
    throw errors.datasetInvalid(file, `expected outputs, one for each ${sets[0].unit}, got none`)
  if (outputs.every(({ text }) => text.trim() === ''))
    throw errors.datasetInvalid(
      file,
      `expected outputs, one for each ${sets[0].unit}, got ${outputs.length} blank lines`,
    )
  const inputs = sets.find(({ contexts }) => contexts !== null)
  if (inputs && outputs.every(({ context }) => context !== null)) {
    return { set: inputs, hypotheses: byInput(file, outputs, inputs) }
  }
  for (const set of sets) {
    const hypotheses = inOrder(outputs, set)
    if (hypotheses !== null) return { set, hypotheses }
  }
  const wanted = sets.map(({ unit, references }) => `${references.length} (one for each ${unit})`).join(' or ')
  throw errors.datasetInvalid(file, `expected ${wanted} outputs, got ${outputs.length}`, {
    expected: sets[0].references.length,
    got: outputs.length,
  })
}

/** Null where the number is another. Blank lines after the last output are no outputs. */
function inOrder(outputs: readonly Output[], { references }: ReferenceSet): string[] | null {
  const rest = outputs.slice(references.length)
  if (outputs.length < references.length || rest.some(({ text }) => text.trim() !== '')) return null
  return outputs.slice(0, references.length).map(({ text }) => text)
}

const inputKey = (context: string) => context.replace(/\s+/g, ' ').trim()

/** The outputs by what they answer; an answer may be given again, but not another one. */
function byInput(file: string, outputs: readonly Output[], { contexts, unit }: ReferenceSet): string[] {
  const known = new Set(contexts?.map(inputKey))
  const answers = new Map<string, Output>()
  for (const output of outputs) {
    const key = inputKey(output.context ?? '')
    const earlier = answers.get(key)
    if (!known.has(key)) {
      throw invalidLine(file, output.line, `expected a ${unit} of the references, got '${excerpt(key)}'`)
    }
    if (earlier !== undefined && earlier.text !== output.text) {
      const reason = `expected one output for each ${unit}, got another than in line ${earlier.line}`
      throw invalidLine(file, output.line, `${reason} for '${excerpt(key)}'`)
    }
    answers.set(key, earlier ?? output)
  }
  return (contexts ?? []).map((context) => {
    const answer = answers.get(inputKey(context))
    if (answer === undefined) {
      throw errors.datasetInvalid(file, `expected an output for each ${unit}, got none for '${excerpt(context)}'`)
    }
    return answer.text
  })
}
