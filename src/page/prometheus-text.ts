/** Prometheus' text format, as far as a page needs it: names, labels and values. */

interface PrometheusSample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export type PrometheusSamples = ReadonlyMap<string, readonly PrometheusSample[]>

const line = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/
const label = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g
const escapes: Readonly<Record<string, string>> = { '\\n': '\n', '\\"': '"', '\\\\': '\\' }

export function parseMetrics(text: string): PrometheusSamples {
  const samples = new Map<string, PrometheusSample[]>()
  for (const one of text.split('\n')) {
    const [, name, labels = '', value] = line.exec(one) ?? []
    if (name === undefined || value === undefined) continue
    const series = samples.get(name) ?? []
    series.push({ labels: labelsOf(labels), value: Number(value.replace('Inf', 'Infinity')) })
    samples.set(name, series)
  }
  return samples
}

function labelsOf(text: string): Record<string, string> {
  const pairs = [...text.matchAll(label)].map(([, name = '', value = '']) => [
    name,
    value.replaceAll(/\\[n"\\]/g, (escaped) => escapes[escaped] ?? escaped),
  ])
  return Object.fromEntries(pairs) as Record<string, string>
}

/** Over all label values; null where there is no such metric. */
export function sumOf(samples: PrometheusSamples, name: string): number | null {
  const series = samples.get(name)
  return series === undefined ? null : series.reduce((sum, { value }) => sum + value, 0)
}
