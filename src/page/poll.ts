/** Asking again and again, for as long as the component is there. */
import { useEffect, useState } from 'preact/hooks'

export interface Polled<T> {
  readonly value: T | null
  /** Of the latest look; a value from before stays. */
  readonly error: Error | null
}

/** Loads at once, whenever a dependency changes, and `everyMs` after each reply or failure. */
export function usePoll<T>(
  load: (signal: AbortSignal) => Promise<T>,
  everyMs: number,
  dependencies: readonly unknown[],
): Polled<T> {
  const [polled, setPolled] = useState<Polled<T>>({ value: null, error: null })
  useEffect(() => poll(load, everyMs, setPolled), [...dependencies, everyMs])
  return polled
}

type Update<T> = (change: (polled: Polled<T>) => Polled<T>) => void

/** Returns what stops it. */
function poll<T>(load: (signal: AbortSignal) => Promise<T>, everyMs: number, update: Update<T>): () => void {
  const controller = new AbortController()
  const { signal } = controller
  let timer: ReturnType<typeof setTimeout>
  const look = async () => {
    try {
      const value = await load(signal)
      if (!signal.aborted) update(() => ({ value, error: null }))
    } catch (error) {
      if (!signal.aborted) update(({ value }) => ({ value, error: error as Error }))
    }
    if (!signal.aborted) timer = setTimeout(look, everyMs)
  }
  void look()
  return () => {
    controller.abort()
    clearTimeout(timer)
  }
}
