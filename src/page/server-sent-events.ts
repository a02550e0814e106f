/** Server-sent events out of a reply's body: what EventSource reads, but for requests with a body and a key. */

export interface ServerSentEvent {
  readonly event: string
  readonly data: string
  readonly id: string
}

/** The events of a reply, whole ones only, however the network cuts it. */
export async function* readEvents(response: Response): AsyncGenerator<ServerSentEvent> {
  if (response.body === null) return
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  const parser = new EventParser()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      yield* parser.push(value)
    }
  } finally {
    await reader.cancel().catch(() => {})
  }
}

/** HTML living standard, 9.2.6, but for retry times. */
export class EventParser {
  #rest = ''

  /** What is complete with this piece of text. */
  push(text: string): ServerSentEvent[] {
    const blocks = (this.#rest + text).replaceAll('\r\n', '\n').split('\n\n')
    this.#rest = blocks.pop() ?? ''
    return blocks.map(eventOf).filter(({ data }) => data !== '')
  }
}

function eventOf(block: string): ServerSentEvent {
  const fields: { event: string; data: string[]; id: string } = { event: 'message', data: [], id: '' }
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':')
    const name = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (name === 'data') fields.data.push(value)
    else if (name === 'event' || name === 'id') fields[name] = value
  }
  return { ...fields, data: fields.data.join('\n') }
}
