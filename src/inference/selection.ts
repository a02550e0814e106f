/** Partial selection: the best of many without sorting them all. */

/** The ids of the n highest scores in descending order, of equals the lower id first, through a heap of n. */
export function highestIds(scores: Float32Array, n: number): Uint32Array {
  const size = Math.min(n, scores.length)
  const heap = firstIds(size)
  for (let i = (size >> 1) - 1; i >= 0; i--) sink(heap, i, scores)
  for (let id = size; id < scores.length; id++) {
    if ((scores[id] as number) <= (scores[heap[0] as number] as number)) continue
    heap[0] = id
    sink(heap, 0, scores)
  }
  return heap.sort((a, b) => (scores[b] as number) - (scores[a] as number) || a - b)
}

/** 0 to n - 1. */
export function firstIds(n: number): Uint32Array {
  const ids = new Uint32Array(n)
  for (let id = 0; id < n; id++) ids[id] = id
  return ids
}

/** The id of the highest score, of equals the lower. */
export function argmax(scores: Float32Array): number {
  let best = 0
  let highest = scores[0] as number
  for (let id = 1; id < scores.length; id++) {
    const score = scores[id] as number
    if (score > highest) {
      best = id
      highest = score
    }
  }
  return best
}

/** The highest score; NaN only where the first is. */
export function maximum(scores: Float32Array): number {
  let highest = scores[0] as number
  for (let id = 1; id < scores.length; id++) if ((scores[id] as number) > highest) highest = scores[id] as number
  return highest
}

/** Restores the heap below `i`; its root is the worst of the kept. */
function sink(heap: Uint32Array, i: number, scores: Float32Array): void {
  const id = heap[i] as number
  for (;;) {
    let child = 2 * i + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && isWorse(heap[child + 1] as number, heap[child] as number, scores)) child++
    if (!isWorse(heap[child] as number, id, scores)) break
    heap[i] = heap[child] as number
    i = child
  }
  heap[i] = id
}

function isWorse(a: number, b: number, scores: Float32Array): boolean {
  const difference = (scores[a] as number) - (scores[b] as number)
  return difference < 0 || (!(difference > 0) && a > b)
}

export interface MassEdge {
  /** The lowest key up to which the weights reach the mass. */
  readonly edge: number
  /** What the keys below the edge weigh. */
  readonly below: number
}

/**
 * Where in the order of `keys` the sum of `weights` reaches `mass`; the last key when it never does. Both arrays, of one
 * length of at least 1, are reordered. Linear on average: each round partitions only the part in which the edge lies.
 */
export function massEdge(keys: Float64Array, weights: Float64Array, mass: number): MassEdge {
  let [from, to, below] = [0, keys.length, 0]
  for (;;) {
    const pivot = medianOfThree(keys, from, to)
    const { less, greater, lessWeight, equalWeight } = partition(keys, weights, from, to, pivot)
    if (less > from && below + lessWeight >= mass) to = less
    else if (greater === to || below + lessWeight + equalWeight >= mass)
      return { edge: pivot, below: below + lessWeight }
    else {
      below += lessWeight + equalWeight
      from = greater
    }
  }
}

function medianOfThree(keys: Float64Array, from: number, to: number): number {
  const [a, b, c] = [keys[from], keys[(from + to) >> 1], keys[to - 1]] as [number, number, number]
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c))
}

/** Brings `from..to` into the order [below the pivot, up to `less`; equal, up to `greater`; above]. */
function partition(keys: Float64Array, weights: Float64Array, from: number, to: number, pivot: number) {
  let [less, at, greater, lessWeight, equalWeight] = [from, from, to, 0, 0]
  while (at < greater) {
    const key = keys[at] as number
    const weight = weights[at] as number
    if (key < pivot) {
      lessWeight += weight
      swap(keys, weights, at++, less++)
    } else if (key > pivot) swap(keys, weights, at, --greater)
    else {
      equalWeight += weight
      at++
    }
  }
  return { less, greater, lessWeight, equalWeight }
}

function swap(keys: Float64Array, weights: Float64Array, a: number, b: number): void {
  const [key, weight] = [keys[a] as number, weights[a] as number]
  keys[a] = keys[b] as number
  weights[a] = weights[b] as number
  keys[b] = key
  weights[b] = weight
}
