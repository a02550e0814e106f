/** What every panel may need of the server. */
import type { Adapter, Info } from './api.ts'

export interface Service {
  readonly info: Info | null
  readonly adapters: readonly Adapter[]
  /** Routes that this server has. */
  readonly paths: ReadonlySet<string>
}
