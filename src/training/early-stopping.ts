/** Ends a training whose validation loss has stopped falling, and keeps the best that was seen on the way. */
import { readTensor, type SafetensorsFile } from '../dylora/safetensors.ts'
import type { Parameter } from './adamw.ts'
import type { Remembered } from './checkpoint.ts'
import type { Learner } from './learner.ts'

export interface EarlyStoppingOptions {
  /** Steps between two looks; the last step is looked at too. */
  readonly every: number
  /** Looks in a row without a lower loss that end the training. */
  readonly patience: number
  /** Of the data that is looked at. */
  readonly digest: string
  readonly measure: (learner: Learner, step: number) => Promise<number>
}

interface Best {
  readonly step: number
  readonly loss: number
  /** Of each parameter. */
  readonly data: readonly Float32Array[]
}

interface State {
  readonly misses: number
  readonly best: Pick<Best, 'step' | 'loss'> | null
}

export class EarlyStopping {
  readonly #options: EarlyStoppingOptions
  #best: Best | null = null
  #misses = 0

  constructor(options: EarlyStoppingOptions) {
    this.#options = options
  }

  /** What must be the same for a run to go on as if it had not stopped. */
  get settings(): Pick<EarlyStoppingOptions, 'every' | 'patience' | 'digest'> {
    const { every, patience, digest } = this.#options
    return { every, patience, digest }
  }

  get isOver(): boolean {
    return this.#misses >= this.#options.patience
  }

  /** The step whose parameters are the best so far, with their loss. */
  get best(): Pick<Best, 'step' | 'loss'> | null {
    return this.#best && { step: this.#best.step, loss: this.#best.loss }
  }

  /** Call it after every step, counted from 1. A loss that is no number is no better. */
  async look(step: number, steps: number, learner: Learner): Promise<void> {
    const { every, measure } = this.#options
    if (step % every !== 0 && step !== steps) return
    const loss = await measure(learner, step)
    if (loss < (this.#best?.loss ?? Number.POSITIVE_INFINITY)) {
      this.#best = { step, loss, data: learner.parameters.map(({ data }) => data.slice()) }
      this.#misses = 0
    } else this.#misses += 1
  }

  /** Puts the best in place of the last. */
  restoreBest(parameters: readonly Parameter[]): void {
    for (const [i, data] of (this.#best?.data ?? []).entries()) parameters[i]?.data.set(data)
  }

  /** For a checkpoint. */
  remembered(parameters: readonly Parameter[]): Remembered {
    const state: State = { misses: this.#misses, best: this.best }
    const data = this.#best?.data ?? []
    return {
      metadata: { earlyStopping: JSON.stringify(state) },
      tensors: data.map((values, i) => ({
        name: bestOf(parameters[i] as Parameter),
        shape: [values.length],
        data: values,
      })),
    }
  }

  async recall(file: SafetensorsFile, parameters: readonly Parameter[]): Promise<void> {
    const { misses, best } = JSON.parse(file.metadata.earlyStopping ?? '{"misses":0,"best":null}') as State
    this.#misses = misses
    if (best === null) return
    const data: Float32Array[] = []
    for (const parameter of parameters) data.push(await readTensor(file, bestOf(parameter)))
    this.#best = { ...best, data }
  }
}

const bestOf = ({ name }: Parameter): string => `${name}.best`
