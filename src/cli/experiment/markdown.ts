/** The little of Markdown that a report needs. */

export type Row = readonly string[]

/** A table whose columns line up; all but the first go right where they hold numbers. */
export function markdownTable(header: Row, rows: readonly Row[]): string {
  const widths = header.map((_, i) => Math.max(3, ...[header, ...rows].map((row) => [...(row[i] ?? '')].length)))
  const pad = (text: string, i: number) => text + ' '.repeat((widths[i] ?? 0) - [...text].length)
  const line = (row: Row) => `| ${row.map(pad).join(' | ')} |`
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`
  return [line(header), rule, ...rows.map(line)].join('\n')
}

/** `12.34 ± 0.56`, and without the deviation where there is none. */
export const plusMinus = (mean: number, deviation: number | null, digits: number): string =>
  deviation === null ? mean.toFixed(digits) : `${mean.toFixed(digits)} ± ${deviation.toFixed(digits)}`

/** `+1.2`, `-0.3`: a zero has no sign. */
export function signed(value: number, digits: number): string {
  const text = Math.abs(value).toFixed(digits)
  if (Number(text) === 0) return text
  return value > 0 ? `+${text}` : `-${text}`
}

/** `1 seed`, `2 seeds`. */
export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`

/** `a, b and c`. */
export const listed = (items: readonly string[]): string =>
  items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`

/** `1 to 8` where none is left out, and `1, 2 and 4` otherwise. */
export function rankList(ranks: readonly number[]): string {
  const [first = 0, last = 0] = [ranks[0], ranks.at(-1)]
  const whole = ranks.length > 2 && last - first === ranks.length - 1
  return whole ? `${first} to ${last}` : listed(ranks.map(String))
}
