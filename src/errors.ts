/** Every failure that a caller can cause or act on. The domain knows no HTTP: `server/problem.ts` gives each code its status. */

export type ErrorCode =
  | 'validation'
  | 'configuration_invalid'
  | 'rank_not_allowed'
  | 'adapter_not_found'
  | 'adapter_invalid'
  | 'base_model_invalid'
  | 'checkpoint_invalid'
  | 'dataset_invalid'
  | 'device_unavailable'
  | 'job_not_found'
  | 'conflict'
  | 'too_large'
  | 'storage_full'
  | 'unauthorized'
  | 'forbidden'
  | 'overloaded'
  | 'not_ready'
  | 'generation'
  | 'cancelled'

/** Facts about the failure; they become members of the problem document. */
export type ErrorFacts = Readonly<Record<string, unknown>>

export class DyloraError extends Error {
  readonly code: ErrorCode
  readonly facts: ErrorFacts

  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}, options?: ErrorOptions) {
    super(message, options)
    this.name = 'DyloraError'
    this.code = code
    this.facts = facts
  }
}

/** Is this an error with this code? Codes are the contract; classes and texts are not. */
export function hasCode(error: unknown, code: ErrorCode): error is DyloraError {
  return error instanceof DyloraError && error.code === code
}

export const errors = {
  /** `pointer` is a JSON pointer into the body, or the name of a query parameter. */
  validation: (message: string, facts?: ErrorFacts) => new DyloraError('validation', message, facts),
  /** One mistake a line. */
  configurationInvalid: (mistakes: readonly string[]) =>
    new DyloraError('configuration_invalid', ['Configuration:', ...mistakes].join(mistakes.length > 1 ? '\n  ' : ' ')),
  rankNotAllowed: (rank: unknown, allowed: readonly (number | string)[]) =>
    new DyloraError('rank_not_allowed', `Rank ${String(rank)} is not allowed: expected one of ${allowed.join(', ')}`, {
      rank,
      allowed,
    }),
  adapterNotFound: (adapter: string, known: readonly string[]) =>
    new DyloraError(
      'adapter_not_found',
      `Adapter '${adapter}' is not known: ${known.length > 0 ? `there is ${known.join(', ')}` : 'there is none'}`,
      { adapter, known },
    ),
  adapterInvalid: (adapter: string, reason: string, facts?: ErrorFacts) =>
    new DyloraError('adapter_invalid', `Adapter '${adapter}' is not usable: ${reason}`, { adapter, ...facts }),
  baseModelInvalid: (directory: string, reason: string, facts?: ErrorFacts) =>
    new DyloraError('base_model_invalid', `Base model '${directory}' is not usable: ${reason}`, {
      directory,
      ...facts,
    }),
  checkpointInvalid: (directory: string, reason: string, facts?: ErrorFacts) =>
    new DyloraError('checkpoint_invalid', `Checkpoint '${directory}' is not usable: ${reason}`, {
      directory,
      ...facts,
    }),
  datasetInvalid: (file: string, reason: string, facts?: ErrorFacts) =>
    new DyloraError('dataset_invalid', `File '${file}' is not usable: ${reason}`, { file, ...facts }),
  deviceUnavailable: (device: string, reason: string) =>
    new DyloraError('device_unavailable', `Device '${device}' is not available: ${reason}`, { device }),
  jobNotFound: (job: string) => new DyloraError('job_not_found', `There is no job ${job}`, { job }),
  conflict: (message: string) => new DyloraError('conflict', message),
  tooLarge: (message: string) => new DyloraError('too_large', message),
  storageFull: (message: string) => new DyloraError('storage_full', message),
  unauthorized: (message: string) => new DyloraError('unauthorized', message),
  forbidden: (message: string) => new DyloraError('forbidden', message),
  overloaded: (message: string, facts?: ErrorFacts) => new DyloraError('overloaded', message, facts),
  notReady: (message: string) => new DyloraError('not_ready', message),
  generation: (message: string, options?: ErrorOptions) => new DyloraError('generation', message, {}, options),
  cancelled: (message: string) => new DyloraError('cancelled', message),
}
