/** Rows of CSV and TSV files with a header, whatever other columns they have. */
import { CsvError, parse } from 'csv-parse/sync'
import { excerpt, invalidLine, linesOf, plainName, type TextFile } from './text-file.ts'

export interface Row {
  /** Where the row begins, from 1. */
  readonly line: number
  readonly fields: readonly string[]
}

/** Rows of a file whose fields may be quoted and may then hold delimiters, doubled quotes and line ends. */
export function quotedRows({ file, text }: TextFile, delimiter: ',' | '\t'): Row[] {
  try {
    // With one kind of line end, lines within fields are counted right.
    const records = parse(text.replaceAll(text.includes('\n') ? '\r\n' : '\r', '\n'), {
      delimiter,
      info: true,
      record_delimiter: '\n',
      relax_column_count: true,
      // A quote inside an unquoted field, and text after a closing quote, are taken as they are.
      relax_quotes: true,
      skip_empty_lines: true,
    }) as unknown as readonly { readonly record: string[]; readonly info: { readonly lines: number } }[]
    return records.map(({ record, info }) => ({ line: info.lines - lineEndsIn(record), fields: record }))
  } catch (error) {
    if (error instanceof CsvError) throw invalidLine(file, Number(error.lines ?? 1), error.message)
    throw error
  }
}

const lineEndsIn = (fields: readonly string[]) =>
  fields.reduce((count, field) => count + (field.match(/\n/g)?.length ?? 0), 0)

/** Rows of a file in which a quote is a character like any other, one line each, as GLUE's are. Empty lines are no rows. */
export function plainRows({ text }: TextFile): Row[] {
  return linesOf(text).flatMap((line, i) => (line === '' ? [] : [{ line: i + 1, fields: line.split('\t') }]))
}

/** Names that a column may have, the usual one first. Case and blanks around do not matter. */
export type ColumnNames = readonly [string, ...string[]]

/** Where the columns are in a header; null where one is missing. */
export function columnsOf<Column extends string>(
  header: readonly string[],
  names: Readonly<Record<Column, ColumnNames>>,
): Readonly<Record<Column, number>> | null {
  const given = header.map((name) => name.trim().toLowerCase())
  const placeOf = (known: ColumnNames) =>
    known.map((name) => given.indexOf(name.toLowerCase())).find((at) => at >= 0) ?? -1
  const found = Object.entries<ColumnNames>(names).map(([column, known]) => [column, placeOf(known)])
  return found.some(([, at]) => at === -1) ? null : (Object.fromEntries(found) as Record<Column, number>)
}

/** The rows below the header with their named columns. Throws `dataset_invalid` naming the line for what is missing. */
export function readColumns<Column extends string>(
  { file }: TextFile,
  rows: readonly Row[],
  names: Readonly<Record<Column, ColumnNames>>,
): { readonly line: number; readonly values: Readonly<Record<Column, string>> }[] {
  const [header, ...body] = rows
  const columns = header && columnsOf(header.fields, names)
  if (!columns) {
    const wanted = Object.values<ColumnNames>(names).map(([name]) => name)
    const got = header === undefined ? 'an empty file' : `'${excerpt(header.fields.join(' '))}'`
    throw invalidLine(file, header?.line ?? 1, `expected a header with the columns ${wanted.join(' and ')}, got ${got}`)
  }
  const entries = Object.entries<number>(columns)
  return body.map(({ line, fields }) => {
    const values = entries.map(([column, at]) => {
      const value = fields[at]
      if (value !== undefined) return [column, value]
      const expected = `expected ${header.fields.length} columns as in the header`
      throw invalidLine(file, line, `${expected}, got ${fields.length}`)
    })
    return { line, values: Object.fromEntries(values) as Record<Column, string> }
  })
}

/** The delimiter by the file's name; by its first line where the name does not tell. */
export function delimiterOf({ file, text }: TextFile): ',' | '\t' {
  const name = plainName(file).toLowerCase()
  if (name.endsWith('.tsv')) return '\t'
  if (name.endsWith('.csv')) return ','
  return (linesOf(text.slice(0, 4096))[0] ?? '').includes('\t') ? '\t' : ','
}
