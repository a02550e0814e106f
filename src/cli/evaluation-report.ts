/** What an evaluation prints: how far it is, and the curve at its end. */
import type { QualityPoint } from '../dylora/adapter.ts'
import { auracOf } from '../evaluation/curve.ts'
import type { EvaluationProgress } from '../evaluation/evaluate.ts'
import type { ProgressOutput } from '../training/progress.ts'

const barWidth = 24

/** A bar that is rewritten on a terminal; a JSON line at every tenth of the way anywhere else. */
export function evaluationReporter(output: ProgressOutput): (progress: EvaluationProgress) => void {
  let said = 0
  let started = performance.now()
  return ({ set, done, total }) => {
    if (done === 1) [said, started] = [0, performance.now()]
    const seconds = (performance.now() - started) / 1000
    const left = Math.round((seconds / done) * (total - done))
    if (output.isTTY) {
      const filled = Math.floor((barWidth * done) / total)
      const bar = `${'█'.repeat(filled)}${'░'.repeat(barWidth - filled)}`
      const line = `${set.name} ${set.split} ${bar} ${done}/${total} texts, ${left} s left`
      return output.write(`\r\u001b[K${line}${done === total ? '\n' : ''}`)
    }
    const tenth = Math.floor((10 * done) / total)
    if (tenth === said) return
    said = tenth
    const facts = { dataset: set.name, split: set.split, done, total, seconds_left: left }
    output.write(`${JSON.stringify({ event: 'evaluation', ...facts })}\n`)
  }
}

/** One line for each rank, every metric with its interval, and one for the area under the first metric's curve. */
export function curveTable(points: readonly QualityPoint[], metric: string): string[] {
  const ranks = [...new Set(points.map(({ rank }) => rank))]
  const width = Math.max(2, ...ranks.map((rank) => String(rank).length))
  const lines = ranks.map((rank) => {
    const cells = points.filter((point) => point.rank === rank).map(cell)
    return `rank ${String(rank).padStart(width)}  ${cells.join('  ')}`
  })
  const area = auracOf(points, metric)
  return area === null ? lines : [...lines, `AURAC of ${metric} over log2(rank): ${area.toFixed(digitsOf(metric))}`]
}

/** Points from 0 to 100 with two digits, anything else with four. */
const inPoints = ['bleu', 'multi_bleu', 'multi_bleu_detok', 'sacrebleu', 'chrf', 'chrf_plus_plus', 'chrf_plus_plus_py']

const digitsOf = (metric: string): number => (inPoints.includes(metric) ? 2 : 4)

function cell({ metric, value, ci95 }: QualityPoint): string {
  const text = (number: number) => number.toFixed(digitsOf(metric))
  return `${metric} ${text(value)}${ci95 ? ` [${text(ci95[0])}, ${text(ci95[1])}]` : ''}`
}
