/** What the OpenAPI document says of a reply, and whether a reply is so. */
import Ajv2020 from 'ajv/dist/2020.js'

export type Schema = Readonly<Record<string, unknown>>

interface Content {
  readonly schema: Schema
  readonly example?: unknown
}

export interface Operation {
  readonly operationId: string
  readonly parameters?: readonly {
    readonly name: string
    readonly in: string
    readonly required?: boolean
    readonly schema: Schema
  }[]
  readonly requestBody?: { readonly content: Readonly<Record<string, Content>> }
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, Content>> }>>
}

export interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
}

interface Reply {
  readonly status: number
  readonly contentType: string
  readonly text: string
}

/** Why the reply is not as documented; null when it is. */
export type Judge = (operation: Operation, reply: Reply) => string | null

export function judgeOf(document: OpenApi): Judge {
  const ajv = new Ajv2020.default({ strict: false, validateFormats: false })
  ajv.addSchema({ $id: 'openapi', components: document.components })
  const compiled = new Map<string, ReturnType<typeof ajv.compile>>()
  const fault = (schema: Schema, value: unknown): string | null => {
    const key = JSON.stringify(schema)
    const validate = compiled.get(key) ?? ajv.compile(JSON.parse(key.replaceAll('"#/', '"openapi#/')) as object)
    compiled.set(key, validate)
    return validate(value) ? null : ajv.errorsText(validate.errors)
  }
  return (operation, { status, contentType, text }) => {
    if (status >= 500) return `a ${status}: ${text}`
    const response = operation.responses[status]
    if (response === undefined) return `status ${status} is not documented: ${text}`
    const [type = ''] = contentType.split(';')
    const schema = response.content?.[type]?.schema
    if (schema === undefined) return `${type} is not documented for status ${status}`
    if (type === 'text/plain') return null
    const values = type === 'text/event-stream' ? eventsOf(text) : [JSON.parse(text) as unknown]
    // A stream that breaks off says why in an event of its own.
    const failure = Object.values(operation.responses[500]?.content ?? {})[0]?.schema
    for (const value of values) {
      const why = fault(schema, value)
      if (why !== null && (type !== 'text/event-stream' || !failure || fault(failure, value) !== null)) return why
    }
    return null
  }
}

const eventsOf = (text: string): unknown[] =>
  [...text.matchAll(/^data: ?(.*)$/gm)].flatMap(([, data = '']) => (data === '[DONE]' ? [] : [JSON.parse(data)]))
