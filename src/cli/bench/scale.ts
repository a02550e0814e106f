/** How large a benchmark is: the shape of GPT-2 small, or one that is through in seconds. */
import { gpt2Small, type SyntheticShape } from './synthetic-base.ts'

export interface Scale {
  readonly name: string
  readonly shape: SyntheticShape
  /** Requests that run at once. */
  readonly streams: readonly number[]
  /** Requests at once where only one number of them is looked at. */
  readonly crowd: number
  /** Steps of a measurement. */
  readonly steps: number
  /** Tokens of a prompt, one a byte. */
  readonly promptTokens: number
  readonly prefills: readonly number[]
  readonly ranks: readonly number[]
  readonly residents: readonly number[]
  /** How often adapters and requests come and go, and at which shape. */
  readonly soak: { readonly shape: SyntheticShape; readonly loads: number; readonly cancellations: number }
}

const smallShape: SyntheticShape = { layers: 2, hiddenSize: 32, heads: 2, vocabSize: 320, positions: 128 }

export const scales = {
  full: {
    name: 'GPT-2 small',
    shape: gpt2Small,
    streams: [1, 2, 4, 8, 16, 32],
    crowd: 8,
    steps: 16,
    promptTokens: 48,
    prefills: [16, 64, 256, 768],
    ranks: [1, 2, 4, 8, 16, 32, 64, 128, 256],
    residents: [1, 10, 100, 1000, 10_000],
    soak: { shape: smallShape, loads: 10_000, cancellations: 4000 },
  },
  quick: {
    name: 'quick',
    shape: smallShape,
    streams: [1, 2, 4],
    crowd: 4,
    steps: 4,
    promptTokens: 12,
    prefills: [8, 32],
    ranks: [1, 4],
    residents: [1, 10],
    soak: { shape: smallShape, loads: 20, cancellations: 20 },
  },
} as const satisfies Readonly<Record<string, Scale>>

export interface BenchOptions {
  readonly scale: Scale
  readonly rounds: number
  readonly threads: number
}
