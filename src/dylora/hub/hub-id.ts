/** What names a repository on the Hugging Face hub: `org/name`, or `org/name@revision`. */

export interface HubId {
  /** `org/name` */
  readonly repository: string
  /** Branch, tag or commit. */
  readonly revision: string
}

const part = '[A-Za-z0-9][A-Za-z0-9._-]*'
const pattern = new RegExp(`^(${part}/${part})(?:@(${part}(?:/${part})*))?$`)

/** Null for what cannot name a repository. Names with `..` are none: they become paths. */
export function parseHubId(text: string): HubId | null {
  const [, repository, revision = 'main'] = pattern.exec(text) ?? []
  return repository === undefined || text.includes('..') ? null : { repository, revision }
}

export const isCommit = (revision: string): boolean => /^[0-9a-f]{40}$/.test(revision)

export const hubIdText = ({ repository, revision }: HubId): string => `${repository}@${revision}`
