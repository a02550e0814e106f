/** What a training run prints: one line that is rewritten on a terminal, JSON lines anywhere else. */
import type { StepReport } from './train.ts'
import type { RankLoss } from './validation.ts'

export interface ProgressOutput {
  readonly isTTY: boolean
  readonly write: (text: string) => void
}

/** How much a new loss counts in the running mean. */
const smoothing = 0.05

export class Progress {
  readonly #output: ProgressOutput
  readonly #every: number
  /** Running means, by rank; 0 holds the mean over all steps. */
  readonly #losses = new Map<number, number>()
  #tokens = 0
  #flops = 0
  #milliseconds = 0
  #processorMilliseconds = 0
  #steps = 0

  constructor(output: ProgressOutput, every: number) {
    this.#output = output
    this.#every = every
  }

  /** Says something that is not a step. */
  note(event: string, facts: Readonly<Record<string, unknown>>): void {
    if (this.#output.isTTY) this.#output.write(`\r\u001b[K${event}: ${Object.entries(facts).map(format).join(', ')}\n`)
    else this.#output.write(`${JSON.stringify({ event, ...facts })}\n`)
  }

  step(report: StepReport): void {
    this.#steps += 1
    this.#tokens += report.tokens
    this.#flops += report.flops
    this.#milliseconds += report.milliseconds
    this.#processorMilliseconds += report.processorMilliseconds
    for (const rank of new Set([0, report.rank ?? 0])) {
      const mean = this.#losses.get(rank) ?? report.loss
      this.#losses.set(rank, mean + smoothing * (report.loss - mean))
    }
    if (this.#output.isTTY)
      this.#output.write(`\r\u001b[K${this.#line(report)}${report.step === report.steps ? '\n' : ''}`)
    else if (report.step % this.#every === 0 || report.step === report.steps) {
      this.#output.write(`${JSON.stringify({ event: 'step', ...this.#facts(report) })}\n`)
    }
  }

  validation(step: number, losses: readonly RankLoss[]): void {
    const byRank = Object.fromEntries(losses.map(({ rank, loss }) => [rank, round(loss, 4)]))
    this.note('validation', { step, loss_by_rank: byRank })
  }

  #facts({ step, steps, learningRate, gradientNorm }: StepReport) {
    const ranks = [...this.#losses].filter(([rank]) => rank > 0).toSorted(([a], [b]) => a - b)
    return {
      step,
      steps,
      loss: round(this.#losses.get(0) ?? Number.NaN, 4),
      loss_by_rank: Object.fromEntries(ranks.map(([rank, loss]) => [rank, round(loss, 4)])),
      learning_rate: Number(learningRate.toPrecision(4)),
      gradient_norm: round(gradientNorm, 4),
      since_start: {
        ...{ steps: this.#steps, tokens: this.#tokens, flops: this.#flops },
        seconds: round(this.#milliseconds / 1000, 3),
        processor_seconds: round(this.#processorMilliseconds / 1000, 3),
      },
      tokens_per_second: Math.round((1000 * this.#tokens) / this.#milliseconds),
      seconds_left: Math.round(((steps - step) * this.#milliseconds) / this.#steps / 1000),
    }
  }

  #line(report: StepReport): string {
    const { step, steps, loss, loss_by_rank: byRank, tokens_per_second: rate, seconds_left: left } = this.#facts(report)
    const ranks = Object.entries(byRank).map(([rank, value]) => `${rank}:${value.toFixed(2)}`)
    const perRank = ranks.length > 1 ? ` (by rank ${ranks.join(' ')})` : ''
    return `step ${step}/${steps}  loss ${loss.toFixed(3)}${perRank}  ${rate} tokens/s  ${duration(left)} left`
  }
}

const round = (value: number, digits: number): number => Number(value.toFixed(digits))

const format = ([key, value]: [string, unknown]): string =>
  `${key.replaceAll('_', ' ')} ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`

/** 75 -> `1m15s`. */
function duration(seconds: number): string {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60]
  const rest = `${Math.floor(seconds % 60)}s`
  if (hours > 0) return `${hours}h${minutes}m`
  return minutes > 0 ? `${minutes}m${rest}` : rest
}
