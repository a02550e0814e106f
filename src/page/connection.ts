/** Whether the server answers, as the page's requests find out. */
import { Store } from './store.ts'

type ConnectionState =
  | { readonly kind: 'connecting' | 'connected' | 'lost' }
  /** The server wants a key that this tab has not given. */
  | { readonly kind: 'locked'; readonly reason: string }

const state = new Store<ConnectionState>({ kind: 'connecting' })

export const connection = {
  state,
  /** `keyed` is false for a route that is open to all: its answer does not say that the key was right. */
  answered: (keyed: boolean): void => {
    if (keyed || state.value.kind !== 'locked') become('connected')
  },
  lost: (): void => become('lost'),
  locked: (reason: string): void => state.set({ kind: 'locked', reason }),
  /** A key was given: let the next answer tell. */
  retry: (): void => become('connecting'),
}

function become(kind: 'connecting' | 'connected' | 'lost'): void {
  if (state.value.kind !== kind) state.set({ kind })
}
