/** Adapters that come, change, are refused and go, told from one look at the list to the next. */
import type { Adapter } from './api.ts'
import { shortDigest } from './format.ts'

export type Listed = Pick<Adapter, 'id' | 'state' | 'reason' | 'digest'>

export interface AdapterEvent {
  readonly at: Date
  readonly adapter: string
  readonly kind: 'serving' | 'changed' | 'refused' | 'gone'
  readonly text: string
}

/** `before` null is the first look, which tells what there is. */
export function adapterEvents(before: readonly Listed[] | null, now: readonly Listed[], at: Date): AdapterEvent[] {
  const old = new Map((before ?? []).map((adapter) => [adapter.id, adapter]))
  const here = new Set(now.map(({ id }) => id))
  const gone = [...old.keys()].filter((id) => !here.has(id))
  return [
    ...now.flatMap((adapter) => change(old.get(adapter.id), adapter)),
    ...gone.map((adapter) => ({ adapter, kind: 'gone' as const, text: 'is gone' })),
  ].map((event) => ({ at, ...event }))
}

function change(old: Listed | undefined, now: Listed): Omit<AdapterEvent, 'at'>[] {
  const adapter = now.id
  const events: Omit<AdapterEvent, 'at'>[] = []
  if (now.digest !== null && now.digest !== (old?.digest ?? null)) {
    const kind = old?.digest ? 'changed' : 'serving'
    events.push({ adapter, kind, text: `${kind === 'changed' ? 'changed to' : 'serves'} ${shortDigest(now.digest)}` })
  }
  if (now.reason !== null && now.reason !== (old?.reason ?? null)) {
    const kept = now.digest === null ? '' : ` (${shortDigest(now.digest)} goes on serving)`
    events.push({ adapter, kind: 'refused', text: `was refused: ${now.reason}${kept}` })
  }
  return events
}
