/**
 * Whose request is next: adapters that have work share the engine evenly, whatever one of them sends at once.
 *
 * Each is charged the tokens that are computed for it, and the one charged least comes first (the virtual token counter
 * of Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024). Who was away begins at what an even share has
 * come to by now (the virtual time of weighted fair queueing), so nobody saves up, and nobody waits for ever.
 */

/** A generated token runs through the model alone, prompt tokens many at a time; the weights of the paper's section 5. */
export const tokenCosts = { prompt: 1, generated: 2 } as const

/** Clients of old are forgotten when there are so many. */
const remembered = 1024

export class FairShare {
  /** Cost that a client has come to which always had work. */
  #evenShare = 0
  readonly #charged = new Map<string, number>()

  /** A request of the client begins to wait. */
  arrive(client: string): void {
    if (this.#charged.size >= remembered) this.#forget()
    this.#charged.set(client, Math.max(this.#charged.get(client) ?? 0, this.#evenShare))
  }

  /** `cost` was spent on the client, while so many clients had work. */
  charge(client: string, cost: number, clients: number): void {
    this.#charged.set(client, (this.#charged.get(client) ?? this.#evenShare) + cost)
    this.#evenShare += cost / Math.max(1, clients)
  }

  /** The index of the request that is next: the oldest of the client that was charged least. -1 where nobody waits. */
  next(waiting: readonly string[]): number {
    const costs = waiting.map((client) => this.#charged.get(client) ?? this.#evenShare)
    return costs.indexOf(Math.min(...costs))
  }

  /** Those who would begin at the even share anyway. */
  #forget(): void {
    for (const [client, charged] of this.#charged) if (charged <= this.#evenShare) this.#charged.delete(client)
  }
}
