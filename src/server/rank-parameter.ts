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

/**
 * The ranks that a query (`1,4,max`) or a body (`[1, 4, "max"]`, or one alone) asks for; one undefined when neither does.
 * @param allowed what the adapter allows, asked for only when a rank is refused
 * @throws rank_not_allowed for what is no rank; validation for a rank asked for twice, or when query and body differ
 */
export function ranksOf(
  query: unknown,
  body: unknown,
  allowed: () => readonly (number | string)[],
): (RankRequest | undefined)[] {
  // A query that names `rank` twice is refused here as it is where one rank is asked for.
  if (Array.isArray(query)) refuse(query, allowed)
  const fromQuery = readAll(typeof query === 'string' ? query.split(',') : query, allowed)
  const fromBody = readAll(body, allowed)
  if (fromQuery !== undefined && fromBody !== undefined && String(fromQuery) !== String(fromBody)) {
    throw errors.validation(
      `The query asks for ranks ${fromQuery.join()} and parameters.rank for ${fromBody.join()}: expected one of them, or the same`,
      { allowed: allowed(), errors: [{ detail: 'contradicts the query', pointer: '#/parameters/rank' }] },
    )
  }
  return fromQuery ?? fromBody ?? [undefined]
}

function readAll(values: unknown, allowed: () => readonly (number | string)[]): RankRequest[] | undefined {
  if (values === undefined || values === null) return undefined
  const list: readonly unknown[] = Array.isArray(values) ? values : [values]
  if (list.length === 0) throw errors.rankNotAllowed('[]', allowed())
  const ranks = list.map((value) => parseRank(value) ?? refuse(value, allowed))
  const twice = ranks.find((rank, i) => ranks.indexOf(rank) !== i)
  if (twice !== undefined)
    throw errors.validation(`Rank ${twice} is asked for twice: expected each once`, { rank: twice })
  return ranks
}

function refuse(value: unknown, allowed: () => readonly (number | string)[]): never {
  throw errors.rankNotAllowed(shown(value), allowed())
}

function readOne(value: unknown, allowed: () => readonly (number | string)[]): RankRequest | undefined {
  if (value === undefined || value === null) return undefined
  return parseRank(value) ?? refuse(value, allowed)
}

/** Short enough to be repeated to the client, whatever was sent. */
const shown = (value: unknown): string => {
  const text = typeof value === 'string' && value !== '' ? value : JSON.stringify(value)
  return text.length > 40 ? `${text.slice(0, 40)}...` : text
}
