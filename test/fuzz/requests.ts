/** Requests drawn from the OpenAPI document: most of them as it says, the others broken in a way of their own. */
import fc from 'fast-check'
import type { OpenApi, Operation, Schema } from './documented.ts'

export interface FuzzedRequest {
  readonly method: string
  /** Path and query. */
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | null
  readonly operation: Operation
}

const model = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('e2e', 'other', 'e2e:r4', 'other:auto', 'tgi', 'base') },
  { weight: 1, arbitrary: fc.constantFrom('nope', 'e2e:r9', 'e2e:', ':r1') },
)
const rank = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom<unknown>(1, 2, 3, 0, 'max', 'auto', 'base', null) },
  { weight: 1, arbitrary: fc.constantFrom<unknown>(4, 8, '4', 9, -1, 2.5, '') },
)
const tokens = fc.integer({ min: 0, max: 12 })
const text = fc.oneof(
  fc.constantFrom('name : The Vaults', '', 'a b c', 'Café 🙂'),
  fc.string({ maxLength: 60, unit: 'binary' }),
)

/** What makes a request get further than its schema does, by the name of the field. */
const hints: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  ...{ model, adapter_id: model, id: model, rank },
  ...{ max_new_tokens: tokens, max_tokens: tokens, max_completion_tokens: tokens },
  ...{
    n: fc.integer({ min: 1, max: 3 }),
    best_of: fc.integer({ min: 1, max: 4 }),
    num_beams: fc.integer({ min: 1, max: 4 }),
  },
  ...{
    inputs: text,
    prompt: fc.oneof(text, fc.array(text, { minLength: 1, maxLength: 3 }), fc.array(fc.nat(320), { maxLength: 9 })),
  },
  content: text,
  role: fc.constantFrom('system', 'user', 'assistant', 'tool'),
  temperature: fc.constantFrom(0, 0.7, 1, 100),
  lora_name: fc.constantFrom('fuzzed', 'fuzzed2', 'nope', '../x'),
  lora_path: fc.constantFrom('other', 'nope', '..', '/etc', 'other/..', '\0'),
}

const junk = fc.oneof(fc.jsonValue({ maxDepth: 3 }), fc.constantFrom(1e308, -0, 2 ** 53, 'x'.repeat(3000), [[[[]]]]))

/** A value of the schema. What the document leaves open is anything at all. */
function valueFor(schema: Schema, document: OpenApi, depth = 0): fc.Arbitrary<unknown> {
  const of = (inner: unknown) => valueFor(inner as Schema, document, depth + 1)
  if (typeof schema.$ref === 'string') return of(document.components.schemas[schema.$ref.split('/').at(-1) ?? ''] ?? {})
  if (Array.isArray(schema.enum)) return fc.constantFrom(...schema.enum)
  if ('const' in schema) return fc.constant(schema.const)
  const choices = schema.anyOf ?? schema.oneOf
  if (Array.isArray(choices)) return fc.oneof(...choices.map(of))
  if (Array.isArray(schema.type)) return fc.oneof(...schema.type.map((type) => of({ ...schema, type })))
  const make = depth > 8 ? undefined : byType[String(schema.type)]
  return make === undefined ? junk : make(schema, of)
}

type Maker = (schema: Schema, of: (inner: unknown) => fc.Arbitrary<unknown>) => fc.Arbitrary<unknown>

const number = (value: unknown, otherwise: number): number => (typeof value === 'number' ? value : otherwise)

const byType: Readonly<Record<string, Maker>> = {
  null: () => fc.constant(null),
  boolean: () => fc.boolean(),
  integer: ({ minimum, maximum, exclusiveMinimum }) => {
    const min = number(minimum, number(exclusiveMinimum, -1) + 1)
    const max = number(maximum, Number.MAX_SAFE_INTEGER)
    return fc.oneof(
      fc.integer({ min, max: Math.min(max, min + 20) }),
      fc.maxSafeInteger().filter((n) => n >= min && n <= max),
    )
  },
  number: ({ minimum, maximum, exclusiveMinimum }) =>
    fc.double({ min: number(minimum, number(exclusiveMinimum, -10)), max: number(maximum, 10), noNaN: true }),
  string: ({ pattern, minLength, maxLength }) =>
    typeof pattern === 'string'
      ? fc.stringMatching(new RegExp(pattern))
      : fc.string({ minLength: number(minLength, 0), maxLength: Math.min(number(maxLength, 40), 40), unit: 'binary' }),
  array: ({ items, minItems, maxItems }, of) =>
    fc.array(items === undefined ? junk : of(items), {
      minLength: number(minItems, 0),
      maxLength: Math.max(number(minItems, 0), Math.min(number(maxItems, 4), 4)),
    }),
  object: ({ properties, required }, of) => {
    const fields = Object.entries((properties ?? {}) as Record<string, unknown>).map(([name, schema], _, all) => {
      const hint = hints[name]
      const value =
        hint === undefined ? of(schema) : fc.oneof({ weight: 9, arbitrary: hint }, { weight: 1, arbitrary: of(schema) })
      const isRequired = Array.isArray(required) && required.includes(name)
      // A few fields of the many, or every request would hold one that another forbids.
      const chance = hint === undefined ? 2 / all.length : 0.4
      const present = isRequired ? fc.constant(true) : fc.noBias(fc.nat(999)).map((drawn) => drawn < 1000 * chance)
      return fc.tuple(fc.constant(name), present, value)
    })
    return fc
      .tuple(...fields)
      .map((drawn) =>
        Object.fromEntries(drawn.flatMap(([name, isPresent, value]) => (isPresent ? [[name, value] as const] : []))),
      )
  },
}

/** One field of the body, or the whole, is something else. */
const broken = (body: unknown): fc.Arbitrary<unknown> =>
  fc.oneof(
    junk,
    fc.tuple(fc.string(), junk).map(([name, value]) => ({ ...(body as object), [name]: value })),
    fc.tuple(fc.nat(), junk).map(([drawn, value]) => {
      const names = Object.keys((body ?? {}) as object)
      return names.length === 0 ? value : { ...(body as object), [names[drawn % names.length] ?? '']: value }
    }),
  )

/** Sent as they are: no JSON, half a JSON, too deep, not UTF-8's best. */
const raw = fc.oneof(
  fc.string({ maxLength: 50 }),
  fc.constantFrom(
    '',
    '{',
    '[',
    'null',
    '"',
    '{"a":1}}',
    '{"__proto__":{"x":1}}',
    '['.repeat(5000),
    '{"inputs":"\ud800"}',
    '1e999',
    `"${'x'.repeat(70_000)}"`,
  ),
)

function bodyOf(operation: Operation, document: OpenApi): fc.Arbitrary<string | null> {
  const schema = operation.requestBody?.content['application/json']?.schema
  if (schema === undefined) return fc.constant(null)
  const valid = valueFor(schema, document)
  const json = (value: unknown) => JSON.stringify(value) ?? 'null'
  return fc.oneof(
    { weight: 12, arbitrary: valid.map(json) },
    { weight: 4, arbitrary: valid.chain(broken).map(json) },
    { weight: 1, arbitrary: raw },
  )
}

function urlOf(path: string, operation: Operation, document: OpenApi): fc.Arbitrary<string> {
  const drawn = (operation.parameters ?? []).map(({ name, in: place, schema }) => {
    const hint = hints[name] ?? valueFor(schema, document)
    const value = fc.oneof({ weight: 5, arbitrary: hint }, { weight: 1, arbitrary: fc.string({ maxLength: 30 }) })
    return fc.tuple(fc.constant(name), fc.constant(place), fc.integer({ min: 0, max: 2 }), value.map(asText))
  })
  return fc.tuple(...drawn).map((parameters) => {
    const inPath = parameters.filter(([, place]) => place === 'path')
    const query = parameters.filter(([, place, times]) => place === 'query' && times === 1)
    const filled = inPath.reduce(
      (url, [name, , , value]) => url.replace(`{${name}}`, encodeURIComponent(value || 'x')),
      path,
    )
    const written = query.map(([name, , , value]) => `${name}=${encodeURIComponent(value)}`).join('&')
    return written === '' ? filled : `${filled}?${written}`
  })
}

/** A dot alone would be another path, and a surrogate alone no address. */
const asText = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : (JSON.stringify(value) ?? ''))
    .toString()
    .replace(/^\.{1,2}$/, 'x')

const contentType = fc.oneof(
  { weight: 20, arbitrary: fc.constant('application/json') },
  {
    weight: 1,
    arbitrary: fc.constantFrom('text/plain', 'application/json; charset=utf-16', 'multipart/form-data', 'x'),
  },
)

/** Any operation of the document with any request. */
export function requestsOf(document: OpenApi): fc.Arbitrary<FuzzedRequest> {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      // What takes a body has most to get wrong.
      weight: operation.requestBody === undefined ? 1 : 4,
      arbitrary: fc
        .record({ url: urlOf(path, operation, document), body: bodyOf(operation, document), type: contentType })
        .map(
          ({ url, body, type }): FuzzedRequest => ({
            ...{ method: method.toUpperCase(), url, body, operation },
            headers: body === null ? {} : { 'content-type': type },
          }),
        ),
    })),
  )
  return fc.oneof(...operations)
}
