/** Numbers as people read them; the unit always comes with the number or its column. */

const thousands = new Intl.NumberFormat('en', { maximumFractionDigits: 6 })

/** A whole number: 13,824. */
export const formatCount = (value: number): string => thousands.format(value)

/** Three or four figures, whatever the size: 69.6, 0.463, 1.25, 1,234. */
export function formatValue(value: number): string {
  const size = Math.abs(value)
  if (size === 0) return '0'
  if (size >= 1000) return thousands.format(Math.round(value))
  const digits = size >= 100 ? 1 : size >= 10 ? 2 : 3
  return value.toFixed(digits)
}

/** The same without the zeros at its end, as an axis has them. */
export const formatTick = (value: number): string => thousands.format(Number(value.toPrecision(6)))

/** Milliseconds with a unit that fits: 0.87 ms, 12.3 ms, 1.20 s. */
export function formatMs(ms: number): string {
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`
  return `${ms.toFixed(ms >= 100 ? 0 : ms >= 10 ? 1 : 2)} ms`
}

const byteUnits = ['B', 'KiB', 'MiB', 'GiB'] as const

export function formatBytes(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(byteUnits.length - 1, Math.floor(Math.log2(bytes) / 10))
  const value = bytes / 1024 ** power
  return `${value >= 100 || power === 0 ? Math.round(value) : value.toFixed(1)} ${byteUnits[power]}`
}

export const formatShare = (share: number): string => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`

export const formatTime = (date: Date): string => date.toLocaleTimeString('en-GB')

/** The usual spelling of the metrics that have one. */
const metricNames: Readonly<Record<string, string>> = {
  bleu: 'BLEU',
  nist: 'NIST',
  meteor: 'METEOR',
  rouge_l: 'ROUGE-L',
  cider: 'CIDEr',
  ter: 'TER',
  chrf: 'chrF',
  loss: 'loss (nats per token)',
  token_agreement: 'token agreement with the top rank',
  f1: 'F1',
}

export const metricName = (metric: string): string => metricNames[metric] ?? metric.replaceAll('_', ' ')

/** `sha256:c43e14dc35bb…`, enough to tell two versions apart. */
export const shortDigest = (digest: string): string => digest.replace(/^sha256:/, '').slice(0, 12)

/** 75 seconds: 1 min 15 s. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  if (hours > 0) return `${hours} h ${minutes} min`
  return minutes > 0 ? `${minutes} min ${rest} s` : `${rest} s`
}
