/** What goes on being watched whatever panel is open: the metrics' last minutes, and the adapters. */
import { useEffect, useRef, useState } from 'preact/hooks'
import { type AdapterEvent, adapterEvents } from './adapter-events.ts'
import { type Adapter, getMetrics, listAdapters } from './api.ts'
import { type LivePoint, livePoint, type Scrape, scraped, withPoint } from './live-history.ts'
import { usePoll } from './poll.ts'
import { parseMetrics } from './prometheus-text.ts'

const scrapeEveryMs = 2000
const keptEvents = 100

export function useLiveHistory(): readonly LivePoint[] {
  const [history, setHistory] = useState<readonly LivePoint[]>([])
  const before = useRef<Scrape | null>(null)
  usePoll(
    async (signal) => {
      const samples = await getMetrics(scraped, signal).then(parseMetrics, () => null)
      if (signal.aborted) return
      const scrape: Scrape = { time: Date.now() / 1000, samples }
      const point = livePoint(before.current, scrape)
      before.current = scrape
      setHistory((points) => withPoint(points, point))
    },
    scrapeEveryMs,
    [],
  )
  return history
}

export interface WatchedAdapters {
  /** Null until the first answer. */
  readonly adapters: readonly Adapter[] | null
  /** The newest first. */
  readonly events: readonly AdapterEvent[]
}

/** `connected` looks again at once when it changes. */
export function useAdapters(connected: string): WatchedAdapters {
  const { value: adapters } = usePoll(listAdapters, 3000, [connected])
  const [events, setEvents] = useState<readonly AdapterEvent[]>([])
  const before = useRef<readonly Adapter[] | null>(null)
  useEffect(() => {
    if (adapters === null) return
    const news = adapterEvents(before.current, adapters, new Date())
    before.current = adapters
    if (news.length > 0) setEvents((old) => [...news.toReversed(), ...old].slice(0, keptEvents))
  }, [adapters])
  return { adapters, events }
}
