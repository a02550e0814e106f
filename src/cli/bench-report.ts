/** What benchmarks print: machine and versions first, then a table, or everything as JSON. */
import { createRequire } from 'node:module'
import { arch, cpus, platform, totalmem } from 'node:os'

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  return sorted.length % 2 === 0 ? (sorted[middle - 1]! + sorted[middle]!) / 2 : sorted[Math.floor(middle)]!
}

export function machine(): Readonly<Record<string, string | number>> {
  const require = createRequire(import.meta.url)
  const version = (name: string) => (require(`${name}/package.json`) as { version: string }).version
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${platform()} ${arch()}`,
    node: process.version,
    onnxruntime: version('onnxruntime-node'),
  }
}

type Row = Readonly<Record<string, string | number>>

const cell = (value: string | number | undefined): string => {
  if (typeof value !== 'number') return value ?? ''
  return Number.isInteger(value) || Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2)
}

/** A Markdown table; the columns are the keys of the first row. */
function table(rows: readonly Row[]): string {
  const columns = Object.keys(rows[0] ?? {})
  const cells = [columns, ...rows.map((row) => columns.map((column) => cell(row[column])))]
  const widths = columns.map((_, i) => Math.max(...cells.map((row) => row[i]!.length)))
  const line = (row: readonly string[]) => `| ${row.map((text, i) => text.padEnd(widths[i]!)).join(' | ')} |`
  return [
    line(columns),
    `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`,
    ...cells.slice(1).map(line),
  ].join('\n')
}

export function report(name: string, rows: readonly Row[], asJson: boolean): string {
  if (asJson) return JSON.stringify({ benchmark: name, machine: machine(), rows }, null, 2)
  const facts = Object.entries(machine()).map(([key, value]) => `${key} ${value}`)
  return [`${name}: medians; ${facts.join(', ')}`, '', table(rows)].join('\n')
}
