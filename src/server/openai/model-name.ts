/** The model as OpenAI's clients name it: the base or an adapter, with or without a rank. */
import { errors } from '../../errors.ts'
import type { RankRequest } from '../../inference/request.ts'
import { parseRank, rankOf } from '../rank-parameter.ts'
import type { Serving } from '../serving.ts'

type Registry = Pick<Serving['registry'], 'get' | 'allowedRanks' | 'defaultAdapter'>

export interface NamedModel {
  /** Undefined asks for the default adapter. */
  readonly adapterId: string | undefined
  readonly rank: RankRequest | undefined
}

/** What clients of text-generation-inference send where there is but one model: a fixed word, or the address. */
const placeholder = /^(tgi|https?:\/\/.*)$/

const suffix = /^(?<name>.+):(?:r(?<rank>[\w.-]*)|(?<word>max|auto|base))$/

/**
 * `rank` is the field beside the model; a name that exists as it is written has no suffix.
 * @throws adapter_not_found, rank_not_allowed; validation where suffix and field contradict each other
 */
export function namedModel(model: string | null | undefined, rank: unknown, registry: Registry): NamedModel {
  const given = model == null || placeholder.test(model) ? undefined : model
  const { name, rank: written } = given === undefined ? { name: undefined } : splitRank(given, registry)
  const allowed = () => registry.allowedRanks(name)
  const inField = rankOf(undefined, rank, allowed)
  const inName = rankOf(undefined, written, allowed)
  if (inField !== undefined && inName !== undefined && inField !== inName) {
    throw errors.validation(
      `The model asks for rank ${inName} and the field rank for ${inField}: expected one of them, or the same`,
      {
        pointer: '/rank',
      },
    )
  }
  return { adapterId: name, rank: inField ?? inName }
}

function splitRank(model: string, registry: Registry): { name: string; rank?: string } {
  const { name, rank, word } = suffix.exec(model)?.groups ?? {}
  const written = rank ?? word
  if (name === undefined || written === undefined || registry.get(model) !== undefined) return { name: model }
  // `name:rabbit` is a name that nobody has, not a rank.
  return parseRank(written) === null && !/^[-.\d]/.test(written) ? { name: model } : { name, rank: written }
}
