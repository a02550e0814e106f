/** Weights of a model before its first step, as GPT-2 draws them. */
import type { Gpt2Config } from './gpt2-config.ts'

/**
 * Normal with deviation 0.02 (0.01 for positions; divided by √(2·layers) where a block adds to the residual stream,
 * Radford et al. 2019, section 2.3). Gains are 1, biases 0. `uniform` gives numbers in [0, 1).
 */
export function initialWeight(
  { layers }: Gpt2Config,
  name: string,
  shape: readonly number[],
  uniform: () => number,
): Float32Array {
  const length = shape.reduce((product, dim) => product * dim, 1)
  if (shape.length === 1) return new Float32Array(length).fill(name.includes('ln_') && name.endsWith('weight') ? 1 : 0)
  const deviation = name.endsWith('c_proj.weight') ? 0.02 / Math.sqrt(2 * layers) : name === 'wpe.weight' ? 0.01 : 0.02
  return Float32Array.from({ length }, () => deviation * normal(uniform))
}

/** Box and Muller. */
function normal(uniform: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())
}
