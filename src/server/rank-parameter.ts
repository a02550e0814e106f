/** The rank as a client writes it: in the query, in the body, or in both when they agree. */
import { errors } from '../errors.ts'
import type { RankRequest } from '../inference/request.ts'

const words: Readonly<Record<string, RankRequest>> = { max: 'max', auto: 'auto', base: 0 }

/** A whole number or one of the words; null for anything else. */
export function parseRank(value: unknown): RankRequest | null {
  if (typeof value === 'number') return Number.isSafeInteger(value) && value >= 0 ? value : null
  if (typeof value !== 'string') return null
  if (Object.hasOwn(words, value)) return words[value] ?? null
  return /^(0|[1-9]\d{0,5})$/.test(value) ? Number(value) : null
}

/**
 * The one rank that query and body ask for, undefined when neither does.
 * @param allowed what the adapter allows, asked for only when the rank is refused
 * @throws rank_not_allowed for what is no rank; validation when query and body contradict each other
 */
export function rankOf(
  query: unknown,
  body: unknown,
  allowed: () => readonly (number | string)[],
): RankRequest | undefined {
  const [fromQuery, fromBody] = [query, body].map((value) => readOne(value, allowed))
  if (fromQuery !== undefined && fromBody !== undefined && fromQuery !== fromBody) {
    throw errors.validation(
      `The query asks for rank ${shown(query)} and parameters.rank for ${shown(body)}: expected one of them, or the same`,
      { rank: query, allowed: allowed(), errors: [{ detail: 'contradicts the query', pointer: '#/parameters/rank' }] },
    )
  }
  return fromQuery ?? fromBody
}

function readOne(value: unknown, allowed: () => readonly (number | string)[]): RankRequest | undefined {
  if (value === undefined || value === null) return undefined
  const rank = parseRank(value)
  if (rank === null) throw errors.rankNotAllowed(shown(value), allowed())
  return rank
}

/** Short enough to be repeated to the client, whatever was sent. */
const shown = (value: unknown): string => {
  const text = typeof value === 'string' && value !== '' ? value : JSON.stringify(value)
  return text.length > 40 ? `${text.slice(0, 40)}...` : text
}
