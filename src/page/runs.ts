/** One prompt at several ranks, side by side: what each stream has brought so far. */
import { useRef, useState } from 'preact/hooks'
import { type GenerateBody, generateStream, Refusal, type StreamEvent } from './api.ts'

export interface Run {
  /** As asked for: `4`, `max`, `auto`, `base`. */
  readonly rank: string
  readonly state: 'waiting' | 'streaming' | 'done' | 'stopped' | 'failed'
  readonly text: string
  readonly tokens: number
  readonly firstTokenMs: number | null
  /** From asking to the latest token. */
  readonly totalMs: number
  readonly details: StreamEvent['details']
  readonly failure: string | null
}

export const isOver = ({ state }: Run): boolean => state !== 'waiting' && state !== 'streaming'

const startOf = (rank: string): Run => ({
  ...{ rank, state: 'waiting', text: '', tokens: 0, firstTokenMs: null, totalMs: 0, details: null, failure: null },
})

/** The run after one more token. The last event brings the whole text, which settles how tokens join. */
export function withToken(run: Run, { token, generated_text: whole, details }: StreamEvent, elapsedMs: number): Run {
  return {
    ...run,
    state: 'streaming',
    text: whole ?? run.text + (token.special ? '' : token.text),
    tokens: run.tokens + 1,
    firstTokenMs: run.firstTokenMs ?? elapsedMs,
    totalMs: elapsedMs,
    details,
  }
}

export interface Runs {
  readonly runs: readonly Run[]
  readonly running: boolean
  start(ranks: readonly string[], body: GenerateBody): void
  stop(): void
}

export function useRuns(): Runs {
  const [runs, setRuns] = useState<readonly Run[]>([])
  const controller = useRef<AbortController | null>(null)
  const start = (ranks: readonly string[], body: GenerateBody) => {
    controller.current?.abort()
    controller.current = new AbortController()
    const { signal } = controller.current
    setRuns(ranks.map(startOf))
    for (const rank of ranks) {
      const change = (next: (run: Run) => Run) => {
        if (controller.current?.signal === signal)
          setRuns((all) => all.map((run) => (run.rank === rank ? next(run) : run)))
      }
      void follow(rank, body, signal, change)
    }
  }
  return { runs, running: runs.some((run) => !isOver(run)), start, stop: () => controller.current?.abort() }
}

async function follow(
  rank: string,
  body: GenerateBody,
  signal: AbortSignal,
  change: (next: (run: Run) => Run) => void,
) {
  const begun = performance.now()
  try {
    for await (const event of generateStream(rank, body, signal)) {
      change((run) => withToken(run, event, performance.now() - begun))
    }
    change(ended)
  } catch (error) {
    change((run) =>
      signal.aborted ? { ...run, state: 'stopped' } : { ...run, state: 'failed', failure: failureOf(error, run) },
    )
  }
}

const brokenOff = 'The answer broke off: the connection was lost.'

/** The stream is at its end: whole only if the last event, which brings the details, came. */
export const ended = (run: Run): Run =>
  run.details === null ? { ...run, state: 'failed', failure: brokenOff } : { ...run, state: 'done' }

function failureOf(error: unknown, { tokens }: Run): string {
  if (error instanceof Refusal) return `Refused (${error.status}): ${error.message}`
  return tokens > 0 ? brokenOff : 'The server does not answer.'
}

/** The run that the others are compared with: of the highest rank. */
export function referenceOf(runs: readonly Run[]): Run | undefined {
  const height = ({ rank, details }: Run): number => {
    if (details !== null) return details.rank
    if (rank === 'max') return Number.POSITIVE_INFINITY
    return Number(rank) || 0
  }
  return runs.filter(({ failure }) => failure === null).toSorted((a, b) => height(b) - height(a))[0]
}
