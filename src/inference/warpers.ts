/** Which tokens are left to draw from, and how likely each is: temperature, top-p, min-p, typical-p, in this order, after top-k. */
import { expOfNegative } from './exponential.ts'
import type { SamplingParameters } from './request.ts'
import { massEdge, maximum } from './selection.ts'

/** Tokens to draw from. At least one score is finite, the others may be minus infinity. */
export interface Scored {
  readonly ids: Uint32Array
  /** Theirs. */
  readonly scores: Float32Array
}

/** What is left to draw from: `weights` are relative to the highest score's, which is 1; `total` is their sum. */
export interface Candidates {
  readonly ids: Uint32Array
  readonly weights: Float64Array
  readonly total: number
}

interface Filter {
  readonly changesNothing: (parameters: SamplingParameters) => boolean
  readonly apply: (all: Candidates, parameters: SamplingParameters) => Candidates
}

/** Each looks at what those before it have left, as the warpers of transformers do. At least one token always stays. */
const filters: readonly Filter[] = [
  { changesNothing: ({ topP }) => topP >= 1, apply: nucleus },
  { changesNothing: ({ minP }) => minP <= 0, apply: likelyEnough },
  { changesNothing: ({ typicalP }) => typicalP >= 1, apply: typical },
]

/** `temperature` above 0. */
export function candidates(scored: Scored, parameters: SamplingParameters): Candidates {
  return filters.reduce(
    (left, { changesNothing, apply }) => (changesNothing(parameters) ? left : apply(left, parameters)),
    weigh(scored, parameters),
  )
}

function weigh({ ids, scores }: Scored, { temperature }: SamplingParameters): Candidates {
  const highest = maximum(scores)
  const weights = new Float64Array(ids.length)
  let total = 0
  for (let i = 0; i < ids.length; i++) {
    const weight = expOfNegative(((scores[i] as number) - highest) / temperature)
    weights[i] = weight
    total += weight
  }
  return { ids, weights, total }
}

/** The fewest likeliest tokens whose probabilities reach `topP` (Holtzman et al. 2020); of equals the first. */
function nucleus(all: Candidates, { topP }: SamplingParameters): Candidates {
  const mass = topP * all.total
  // All below it together are less than what may go.
  const floor = (all.total - mass) / all.weights.length
  const { weights } = keep(all, (weight) => weight >= floor)
  const { edge, below } = massEdge(
    weights.map((weight) => -weight),
    weights,
    mass,
  )
  let ties = Math.max(1, Math.ceil((mass - below) / -edge))
  return keep(all, (weight) => weight > -edge || (weight === -edge && ties-- > 0))
}

/** Tokens at least `minP` times as likely as the likeliest (Nguyen et al. 2024). */
function likelyEnough(all: Candidates, { minP }: SamplingParameters): Candidates {
  const lowest = Math.min(minP, 1)
  return keep(all, (weight) => weight >= lowest)
}

/**
 * The fewest tokens that together reach the probability `typicalP`, those first whose information is closest to the
 * entropy; equals stay together (Meister et al. 2023).
 */
function typical(all: Candidates, { typicalP }: SamplingParameters): Candidates {
  const possible = keep(all, (weight) => weight > 0)
  const { weights, total } = possible
  const information = weights.map((weight) => Math.log(total / weight))
  const entropy = information.reduce((sum, bits, i) => sum + (bits * (weights[i] as number)) / total, 0)
  const distances = information.map((bits) => Math.abs(bits - entropy))
  const { edge } = massEdge(distances.slice(), weights.slice(), typicalP * total)
  return keep(possible, (_, i) => (distances[i] as number) <= edge)
}

function keep(all: Candidates, stays: (weight: number, i: number) => boolean): Candidates {
  const ids = new Uint32Array(all.ids.length)
  const weights = new Float64Array(all.ids.length)
  let [length, total] = [0, 0]
  for (let i = 0; i < all.ids.length; i++) {
    const weight = all.weights[i] as number
    if (!stays(weight, i)) continue
    ids[length] = all.ids[i] as number
    weights[length++] = weight
    total += weight
  }
  return { ids: ids.subarray(0, length), weights: weights.subarray(0, length), total }
}
