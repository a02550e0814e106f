/** Every number that decides what the bundled models are. */
export const recipe = {
  base: 'tiny-gpt2',
  adapter: 'e2e',
  shape: { vocabSize: 4096, positions: 256, layers: 4, hiddenSize: 192, heads: 6 },
  corpus: { seed: 20221, pairs: 170_000, prosePasses: 1 },
  initialSeed: 1,
  /** Options of `dylora train`. */
  pretraining: {
    ...{ method: 'full', epochs: 1, 'batch-size': 32, 'learning-rate': 2e-3, 'weight-decay': 0.05 },
    ...{ 'warmup-steps': 150, beta2: 0.98, clip: 1, seed: 1 },
  },
  adapterTraining: {
    ...{ method: 'dylora', recipe: 'stratified', 'max-rank': 8, 'target-modules': 'all' },
    // One thread: another number of threads may round otherwise.
    ...{ epochs: 3, 'batch-size': 16, 'learning-rate': 5e-3, seed: 42, threads: 1 },
  },
  /** Ranks that a LoRA is trained for, each alone, with the same data, steps, rate and seed. */
  yardsticks: [1, 2, 4, 8],
  yardstickTraining: {
    ...{ 'target-modules': 'all', alpha: 16 },
    ...{ epochs: 3, 'batch-size': 16, 'learning-rate': 5e-3, seed: 42, threads: 1 },
  },
} as const
