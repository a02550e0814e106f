/** How few tokens a text can have, known without tokenizing it: what cannot fit is refused before it costs anything. */

/** Tokens that `text` has at least; counting ends above `most`, so that the cost does not grow with the text. */
export type TokenBound = (text: string, most: number) => number

/** A bound that says nothing. */
export const noTokenBound: TokenBound = () => 0

/** So many bytes decide which tokens may start at a place; those are then looked up from the longest down. */
const startBytes = 3

/**
 * `tokens` are the bytes of each token, all 256 single bytes among them. From the places that n tokens can reach, one more
 * reaches as far as the longest token from any place up to there; no tokenization does better, whatever its merges.
 */
export function tokenBoundOf(tokens: readonly Uint8Array[]): TokenBound {
  const known = new Set(tokens.map(latin1))
  const longest = new Map<string, number>()
  for (const token of known) {
    const start = token.slice(0, startBytes)
    longest.set(start, Math.max(longest.get(start) ?? 1, token.length))
  }
  return (text, most) => {
    const bytes = latin1(Buffer.from(text))
    let [count, reached, next, place] = [0, 0, 0, 0]
    while (reached < bytes.length && count <= most) {
      for (; place <= reached; place++) next = Math.max(next, place + lengthAt(place))
      reached = next
      count += 1
    }
    return count

    function lengthAt(place: number): number {
      for (let length = longest.get(bytes.slice(place, place + startBytes)) ?? 2; length > 1; length--) {
        if (known.has(bytes.slice(place, place + length))) return length
      }
      return 1
    }
  }
}

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')
