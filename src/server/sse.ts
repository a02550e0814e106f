/** Server-sent events: data lines, with a comment as heartbeat while nothing comes. */

const heartbeat = ': still here\n\n'

/** One event; JSON has no line breaks of its own, so one data line is enough. */
export const sseData = (value: unknown): string => `data:${JSON.stringify(value)}\n\n`

/** The same with a blank after the colon, which those who read OpenAI's streams line by line expect. */
export const sseField = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`

/**
 * Passes the events on, and a comment whenever none came for so long, so that proxies keep the connection open.
 * Ends the source when the reader leaves.
 */
export async function* withHeartbeat(events: AsyncIterable<string>, everyMs: number): AsyncGenerator<string> {
  const source = events[Symbol.asyncIterator]()
  let ring = () => {}
  // One timer for the whole stream, pushed back by every event: a stream may have thousands.
  const timer = setInterval(() => ring(), everyMs)
  try {
    let next = source.next()
    while (true) {
      const quiet = new Promise<'quiet'>((resolve) => {
        ring = () => resolve('quiet')
      })
      const result = await Promise.race([next, quiet])
      if (result === 'quiet') {
        yield heartbeat
        continue
      }
      timer.refresh()
      if (result.done === true) return
      yield result.value
      next = source.next()
    }
  } finally {
    clearInterval(timer)
    await source.return?.()
  }
}
