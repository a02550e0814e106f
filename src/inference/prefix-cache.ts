/**
 * Keys and values of prompts that have been computed, so that a prompt that begins alike need not be computed again.
 *
 * They are kept in blocks of a fixed number of tokens, as vLLM does. A block is known by the block before it and its own
 * tokens, the first by the weights (adapter digest and rank); comparing is exact, so what is found is what was computed.
 * Within its budget of bytes the cache keeps what was used last.
 */
import type { CacheValues, KvCache } from './kv-cache.ts'
import type { Weights } from './lora-packing.ts'

/** Tokens of a block; a beginning that is shorter is computed again. */
export const blockTokens = 16

interface Block {
  /** Stands for the block in the keys of those that follow it. */
  readonly id: number
  readonly values: CacheValues
}

export interface PrefixCacheOptions {
  readonly cache: Pick<KvCache, 'bytesPerToken' | 'copyOut' | 'copyIn'>
  /** 0 keeps nothing. */
  readonly budgetBytes: number
}

export interface PrefixCacheStats {
  /** Prompt tokens that were looked for. */
  readonly queries: number
  /** Of these, tokens that were there. */
  readonly hits: number
  readonly bytes: number
}

export class PrefixCache {
  /** The least recently used first: a block is always younger here than those that follow it. */
  readonly #blocks = new Map<string, Block>()
  readonly #options: PrefixCacheOptions
  #ids = 0
  #queries = 0
  #hits = 0

  constructor(options: PrefixCacheOptions) {
    this.#options = options
  }

  get stats(): PrefixCacheStats {
    return { queries: this.#queries, hits: this.#hits, bytes: this.#blocks.size * this.#blockBytes }
  }

  get #blockBytes(): number {
    return this.#options.cache.bytesPerToken * blockTokens
  }

  /** Copies the longest beginning of the tokens that is known into the slot. Gives its length: at least the last token is left. */
  restore(weights: Weights, ids: readonly number[], slot: number): number {
    this.#queries += ids.length
    const { keys, blocks } = this.#chain(weights, ids.slice(0, -1))
    this.#touch(keys)
    for (const [i, { values }] of blocks.entries()) this.#options.cache.copyIn(slot, i * blockTokens, values)
    this.#hits += blocks.length * blockTokens
    return blocks.length * blockTokens
  }

  /** Keeps the whole blocks of the tokens that the slot holds. */
  keep(weights: Weights, ids: readonly number[], slot: number): void {
    const whole = Math.min(Math.floor(ids.length / blockTokens), this.#capacity)
    const { keys, blocks } = this.#chain(weights, ids)
    for (let i = blocks.length; i < whole; i++) {
      const values = this.#options.cache.copyOut(slot, i * blockTokens, (i + 1) * blockTokens)
      const key = keyOf(blocks[i - 1]?.id ?? weightsKey(weights), ids, i)
      const block = { id: this.#ids++, values }
      this.#blocks.set(key, block)
      keys.push(key)
      blocks.push(block)
    }
    this.#touch(keys)
    for (const key of this.#blocks.keys()) {
      if (this.#blocks.size <= this.#capacity) return
      this.#blocks.delete(key)
    }
  }

  /** Blocks that the budget holds. */
  get #capacity(): number {
    return Math.floor(this.#options.budgetBytes / this.#blockBytes)
  }

  /** The blocks that are there for a beginning of the tokens. */
  #chain(weights: Weights, ids: readonly number[]): { readonly keys: string[]; readonly blocks: Block[] } {
    const [keys, blocks]: [string[], Block[]] = [[], []]
    for (let i = 0; (i + 1) * blockTokens <= ids.length; i++) {
      const key = keyOf(blocks[i - 1]?.id ?? weightsKey(weights), ids, i)
      const block = this.#blocks.get(key)
      if (block === undefined) break
      keys.push(key)
      blocks.push(block)
    }
    return { keys, blocks }
  }

  /** From the last to the first, so that a block goes before those that it follows. */
  #touch(keys: readonly string[]): void {
    for (const key of keys.toReversed()) {
      const block = this.#blocks.get(key)
      if (block === undefined) continue
      this.#blocks.delete(key)
      this.#blocks.set(key, block)
    }
  }
}

/** Rank 0 is the base, under any adapter. */
const weightsKey = ({ adapter, rank }: Weights): string =>
  adapter === null || rank === 0 ? 'base' : `${adapter.digest}:${rank}`

const keyOf = (before: number | string, ids: readonly number[], block: number): string =>
  `${before}/${ids.slice(block * blockTokens, (block + 1) * blockTokens).join(',')}`
