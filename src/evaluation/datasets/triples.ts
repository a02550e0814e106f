/** The JSON and XML files of WebNLG and DART: sets of triples with texts that say them. */
import { SaxesParser } from 'saxes'
import { z } from 'zod'
import { errors } from '../../errors.ts'
import { excerpt, invalidLine, type TextFile } from './text-file.ts'

type Triple = readonly [subject: string, property: string, object: string]

export interface TripleSet {
  readonly category: string | null
  readonly triples: readonly Triple[]
  /** Of WebNLG only those that the annotators called good. */
  readonly texts: readonly string[]
}

/** How triples become a context, as LoRA's format converters write it: `subject : property : object | ...`. */
export const webnlgContext = ({ triples }: TripleSet): string => triples.map((triple) => triple.join(' : ')).join(' | ')

/** The same for DART, whose properties are lowercased. */
export const dartContext = ({ triples, ...rest }: TripleSet): string =>
  webnlgContext({
    ...rest,
    triples: triples.map(([subject, property, object]) => [subject, property.toLowerCase(), object]),
  })

const WebnlgJson = z.object({
  entries: z.array(
    z.record(
      z.string(),
      z.object({
        category: z.string(),
        modifiedtripleset: z.array(z.object({ subject: z.string(), property: z.string(), object: z.string() })),
        lexicalisations: z.array(z.object({ comment: z.string(), lex: z.string() })),
      }),
    ),
  ),
})

const DartJson = z.array(
  z.object({
    tripleset: z.array(z.tuple([z.string(), z.string(), z.string()])),
    // An annotation without a text is in the official test file.
    annotations: z.array(z.object({ text: z.string().nullable() })),
  }),
)

/** Reads WebNLG's or DART's own files, told apart by what is in them. Throws `dataset_invalid` saying where. */
export function parseTripleSets(source: TextFile): TripleSet[] {
  const sets = source.text.trimStart().startsWith('<') ? parseXml(source) : parseJson(source)
  if (sets.length === 0) throw errors.datasetInvalid(source.file, 'expected at least one set of triples, got none')
  return sets
}

function parseJson({ file, text }: TextFile): TripleSet[] {
  const json = jsonOf(file, text)
  const dart = DartJson.safeParse(json)
  if (dart.success) {
    return dart.data.map(({ tripleset, annotations }) => ({
      category: null,
      triples: tripleset,
      texts: annotations.flatMap(({ text: said }) => (said?.trim() ? [said] : [])),
    }))
  }
  const webnlg = WebnlgJson.safeParse(json)
  if (!webnlg.success) {
    const [issue] = (Array.isArray(json) ? dart : webnlg).error?.issues ?? []
    const where = issue?.path.join('.') || 'the file'
    throw errors.datasetInvalid(file, `expected JSON of WebNLG or DART, got ${where}: ${issue?.message ?? 'invalid'}`)
  }
  return webnlg.data.entries.flatMap((entry) =>
    Object.values(entry).map(({ category, modifiedtripleset, lexicalisations }) => ({
      category,
      triples: modifiedtripleset.map(({ subject, property, object }) => [subject, property, object] as const),
      texts: lexicalisations.filter(({ comment }) => comment === 'good').map(({ lex }) => lex),
    })),
  )
}

function jsonOf(file: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw errors.datasetInvalid(file, `expected JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** The entry that is being read, and the text of the element that is being read. */
interface Reading {
  category: string
  triples: Triple[]
  texts: string[]
}

/** Of WebNLG's comments on a text, the one that means it must not be used. DART's name the source instead. */
const notGood = ['bad', 'toFix']

/** Reads `<entry category>` with `<modifiedtripleset><mtriple>a | b | c` and `<lex comment>`. */
function parseXml({ file, text }: TextFile): TripleSet[] {
  const parser = new SaxesParser()
  const sets: TripleSet[] = []
  let entry: Reading = { category: '', triples: [], texts: [] }
  let content = ''
  let comment = ''
  parser.on('opentag', ({ name, attributes }) => {
    content = ''
    if (name === 'entry') entry = { category: attributes.category ?? '', triples: [], texts: [] }
    if (name === 'lex') comment = attributes.comment ?? ''
  })
  parser.on('text', (piece) => {
    content += piece
  })
  parser.on('closetag', ({ name }) => {
    if (name === 'mtriple') entry.triples.push(tripleOf(content, file, parser.line))
    if (name === 'lex' && !notGood.includes(comment) && content.trim() !== '') entry.texts.push(content)
    if (name === 'entry') sets.push(entry)
  })
  parser.on('error', ({ message }) => {
    throw errors.datasetInvalid(file, `expected XML: ${message}`)
  })
  parser.write(text).close()
  return sets
}

function tripleOf(text: string, file: string, line: number): Triple {
  const [subject, property, ...object] = text.split(' | ').map((part) => part.trim())
  if (subject === undefined || property === undefined || object.length === 0) {
    throw invalidLine(file, line, `expected a triple 'subject | property | object', got '${excerpt(text)}'`)
  }
  return [subject, property, object.join(' | ')]
}
