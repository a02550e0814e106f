/** From official files to JSON lines: `{context, completion}` to train on, `{context, references}` to evaluate on, labelled texts. */
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { publishDirectory } from '../../dylora/publish.ts'
import { errors } from '../../errors.ts'
import { groupByContext, linePairs, type Pair } from '../references.ts'
import { catalogue, type DatasetName, type DatasetRow, type Split, type Variant } from './catalogue.ts'
import { e2eTablePairs } from './e2e.ts'
import { type GlueTask, tableExamples } from './glue.ts'
import { heldOut, isLabelled } from './held-out.ts'
import { findOfficialFiles, type OfficialSplits } from './official-files.ts'
import { linesOf, plainName, type TextFile } from './text-file.ts'
import { dartContext, parseTripleSets, type TripleSet, webnlgContext } from './triples.ts'

/** Names a directory that was written here, so that nothing else is ever replaced. */
const manifestName = 'dataset.json'

export interface Converted {
  readonly variant: string
  /** How many lines each written file has. */
  readonly files: Readonly<Record<string, number>>
  /** Splits that no file was found for. */
  readonly missing: readonly Split[]
  readonly licence: string
}

type Files = Readonly<Record<string, readonly object[]>>
type Texts = Readonly<Partial<Record<Split, TextFile>>>

/**
 * Converts the official files in `from` to the directory `out`, which appears whole or not at all. `variant` asks for one
 * form of the data set; otherwise the one with most splits is taken. Throws `dataset_invalid` naming file and line.
 */
export async function convertDataset(
  name: DatasetName,
  { from, out, variant }: { readonly from: string; readonly out: string; readonly variant?: string | undefined },
): Promise<Converted> {
  await refuseOthers(out)
  const row: DatasetRow = catalogue[name]
  const variants = variantsOf(name, variant)
  const found = await findOfficialFiles(from, row.folders, variants)
  const files = converters[row.kind](found, name)
  const converted = {
    variant: found.variant.name,
    files: Object.fromEntries(Object.entries(files).map(([file, rows]) => [file, rows.length])),
    missing: missingSplits(files, row.kind),
    licence: licenceNote(name),
  }
  await publishDirectory(out, (temporary) => writeFiles(temporary, name, files, found, converted))
  return converted
}

/** The variants of a data set, or the one asked for. Throws `validation` for one that is not known. */
export function variantsOf(name: DatasetName, variant?: string): readonly [Variant, ...Variant[]] {
  const { variants }: DatasetRow = catalogue[name]
  if (variant === undefined) return variants
  const found = variants.find((candidate) => candidate.name === variant)
  if (found !== undefined) return [found]
  const known = variants.map((candidate) => candidate.name).join(' or ')
  throw errors.validation(`--variant: expected ${known} for ${name}, got '${variant}'`)
}

export function licenceNote(name: DatasetName): string {
  const { licence, source } = catalogue[name]
  return `The data set ${name} is not part of this project. Licence: ${licence}. Source: ${source}.`
}

const converters: Readonly<Record<DatasetRow['kind'], (found: OfficialSplits, name: DatasetName) => Files>> = {
  e2e: ({ splits }) =>
    pairFiles(splits, (source) => (/\.csv$/.test(plainName(source.file)) ? e2eTablePairs : linePairs)(source)),
  webnlg: ({ splits }) => ({ ...pairFiles(splits, triplePairs(webnlgContext)), ...bySeen(splits.test) }),
  dart: ({ splits }) => pairFiles(splits, triplePairs(dartContext)),
  glue: ({ splits, heldOutIds }, name) => glueFiles(name as GlueTask, heldOut(splits, heldOutIds)),
}

/** Pairs to train on and to measure the loss on; groups of references to evaluate outputs on. */
function pairFiles(splits: Texts, pairsOf: (source: TextFile) => readonly Pair[]): Files {
  const files: Record<string, readonly object[]> = {}
  for (const split of ['train', 'valid', 'test'] as const) {
    const source = splits[split]
    if (source === undefined) continue
    const pairs = pairsOf(source).filter(([, completion]) => completion.trim() !== '')
    if (split !== 'test') files[`${split}.jsonl`] = pairs.map(([context, completion]) => ({ context, completion }))
    if (split !== 'train') files[`${split}.references.jsonl`] = groupByContext(pairs)
  }
  return files
}

const pairsOfSets = (sets: readonly TripleSet[], contextOf: (set: TripleSet) => string): Pair[] =>
  sets.flatMap((set) => set.texts.map((text) => [contextOf(set), text] as const))

const triplePairs = (contextOf: (set: TripleSet) => string) => (source: TextFile) =>
  pairsOfSets(parseTripleSets(source), contextOf)

/** The ten categories of WebNLG's training data; the test set has five more. */
const seenCategories = new Set(
  'Airport Astronaut Building City ComicsCharacter Food Monument SportsTeam University WrittenWork'.split(' '),
)

/** WebNLG's test set in the two parts that are reported apart. */
function bySeen(test: TextFile | undefined): Files {
  if (test === undefined) return {}
  const sets = parseTripleSets(test)
  const part = (seen: boolean) =>
    groupByContext(
      pairsOfSets(
        sets.filter(({ category }) => seenCategories.has(category ?? '') === seen),
        webnlgContext,
      ),
    )
  return { 'test.seen.references.jsonl': part(true), 'test.unseen.references.jsonl': part(false) }
}

function glueFiles(task: GlueTask, splits: Texts): Files {
  const labelled = Object.entries(splits).filter(([, source]) => isLabelled(task, source))
  return Object.fromEntries(labelled.map(([split, source]) => [`${split}.jsonl`, tableExamples(task, source)]))
}

/** The benchmark's test labels are its own, so that a GLUE task without a test file lacks nothing. */
const missingSplits = (files: Files, kind: DatasetRow['kind']): Split[] =>
  (['train', 'valid', 'test'] as const)
    .filter((split) => kind !== 'glue' || split !== 'test')
    .filter((split) => !Object.keys(files).some((file) => file.startsWith(`${split}.`)))

async function writeFiles(
  directory: string,
  name: DatasetName,
  files: Files,
  { splits }: OfficialSplits,
  converted: Converted,
): Promise<void> {
  for (const [file, rows] of Object.entries(files)) {
    await writeFile(join(directory, file), rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
  }
  const sources = Object.fromEntries(
    Object.entries(splits).map(([split, { sha256, text }]) => [split, { sha256, lines: linesOf(text).length }]),
  )
  const { licence, source } = catalogue[name]
  const manifest = { dataset: name, variant: converted.variant, licence, source, sources, files: converted.files }
  await writeFile(join(directory, manifestName), `${JSON.stringify(manifest, null, 2)}\n`)
  await writeFile(join(directory, 'LICENCE.txt'), `${converted.licence}\n`)
}

/** Only an empty directory, or one that was written here, gives way. */
async function refuseOthers(out: string): Promise<void> {
  const there = await readdir(out).catch((error: unknown): string[] => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw errors.validation(`--out: '${out}' is not a directory that can be written`)
  })
  if (there.length > 0 && !there.includes(manifestName)) {
    throw errors.validation(`--out: expected a new or empty directory, or an earlier data set, got '${out}'`)
  }
}
