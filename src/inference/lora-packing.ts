/** The factors of a batch: those of every adapter in use, side by side along the rank, and each token's share of them. */
import { type Adapter, scalingOf, truncate } from '../dylora/adapter.ts'
import type { AdaptedLayer } from '../dylora/graphs.ts'
import { highestRanks, type RankRows } from './scheduler.ts'

/** One adapter's place among the rows. */
interface PackedAdapter {
  readonly adapter: FactoredAdapter
  readonly firstRow: number
  readonly rows: number
}

/** Which rows a batch feeds. The same key means the same factors in the same places. */
export interface Packing {
  readonly key: string
  readonly rows: number
  readonly adapters: ReadonlyMap<string, PackedAdapter>
}

/** What of an adapter the model is fed. */
type FactoredAdapter = Pick<Adapter, 'digest' | 'factors' | 'scaling' | 'loraAlpha' | 'maxRank'>

/** Under which weights a token is computed; `adapter` null is the bare base. */
export interface Weights {
  readonly adapter: FactoredAdapter | null
  readonly rank: number
}

export const rowsOf = ({ adapter, rank }: Weights): RankRows => ({ adapter: adapter?.digest ?? null, rank })

/** Adapters are laid out by digest, so that the order of requests does not matter. */
export function pack(batch: readonly Weights[]): Packing {
  const byDigest = new Map(
    batch.flatMap(({ adapter }) => (adapter === null ? [] : [[adapter.digest, adapter] as const])),
  )
  const adapters = new Map<string, PackedAdapter>()
  let firstRow = 0
  for (const [digest, rows] of [...highestRanks(batch.map(rowsOf))].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    adapters.set(digest, { adapter: byDigest.get(digest) as FactoredAdapter, firstRow, rows })
    firstRow += rows
  }
  const key = [...adapters].map(([digest, { rows }]) => `${digest}:${rows}`).join(' ')
  return { key, rows: firstRow, adapters }
}

export interface PackedFactors {
  readonly loraA: Float32Array
  readonly loraB: Float32Array
}

/** The factors of a layer: of a single adapter its own memory, cut; of several a copy; zeros where one leaves it alone. */
export function packFactors(
  { rows, adapters }: Packing,
  { key, inFeatures, outFeatures }: AdaptedLayer,
): PackedFactors {
  const [only] = adapters.values()
  const own = adapters.size === 1 ? only?.adapter.factors.get(key) : undefined
  if (own !== undefined) return truncate(own, rows)
  const loraA = new Float32Array(rows * inFeatures)
  const loraB = new Float32Array(rows * outFeatures)
  for (const packed of adapters.values()) {
    const factors = packed.adapter.factors.get(key)
    if (factors === undefined) continue
    const cut = truncate(factors, packed.rows)
    loraA.set(cut.loraA, packed.firstRow * inFeatures)
    loraB.set(cut.loraB, packed.firstRow * outFeatures)
  }
  return { loraA, loraB }
}

/** Fills the mask [tokens, rows]: alpha/b on the first b rows of a token's adapter, 0 elsewhere. */
export function fillMask(mask: Float32Array, { rows, adapters }: Packing, tokens: readonly Weights[]): void {
  mask.fill(0, 0, tokens.length * rows)
  for (const [token, { adapter, rank }] of tokens.entries()) {
    const packed = adapter === null || rank === 0 ? undefined : adapters.get(adapter.digest)
    if (packed === undefined || adapter === null) continue
    const start = token * rows + packed.firstRow
    mask.fill(scalingOf(adapter, rank), start, start + rank)
  }
}
