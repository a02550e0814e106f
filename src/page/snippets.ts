/** The playground's request as code to copy. */
import type { Parameters } from './api.ts'

export interface SnippetRequest {
  /** Of the server, without a slash at its end. */
  readonly origin: string
  /** Null is the server's default adapter. */
  readonly adapter: string | null
  readonly rank: string
  readonly inputs: string
  readonly parameters: Parameters
  /** Does the server want a key? It is taken from the environment, never written down. */
  readonly keyed: boolean
}

const keyVariable = 'process.env.DYLORA_API_KEY'

export interface Snippet {
  readonly label: string
  readonly code: string
  /** The route that it needs. */
  readonly route: string
}

export function snippetsOf(request: SnippetRequest): Snippet[] {
  return [
    { label: 'curl', code: curl(request), route: '/generate_stream' },
    { label: 'TGI client (JavaScript)', code: tgi(request), route: '/generate' },
    { label: 'OpenAI client (JavaScript)', code: openai(request), route: '/v1/completions' },
  ]
}

function urlOf(path: string, { origin, adapter, rank }: SnippetRequest): string {
  const query = new URLSearchParams({ rank, ...(adapter !== null && { adapter_id: adapter }) })
  return `${origin}${path}?${query}`
}

const json = (value: unknown): string => JSON.stringify(value, null, 2)

/** Single quotes of a shell end, escape and begin again. */
const shell = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

function curl(request: SnippetRequest): string {
  const { inputs, parameters, keyed } = request
  const authorization = keyed ? '  -H "authorization: Bearer $DYLORA_API_KEY" \\\n' : ''
  return `curl -N ${shell(urlOf('/generate_stream', request))} \\
  -H 'content-type: application/json' \\
${authorization}  -d ${shell(json({ inputs, parameters }))}`
}

/** By the client's plain request, which sends text-generation-inference's own body: its tasks speak OpenAI's. */
function tgi(request: SnippetRequest): string {
  const { inputs, parameters, keyed } = request
  return `import { InferenceClient } from '@huggingface/inference'

const client = new InferenceClient(${keyed ? keyVariable : ''})
const reply = await client.request({
  endpointUrl: ${JSON.stringify(urlOf('/generate', request))},
  inputs: ${JSON.stringify(inputs)},
  parameters: ${indented(json(parameters))},
})
console.log(reply.generated_text)`
}

/** What the completions route calls otherwise; the rest goes by the same name. */
const openaiNames: Readonly<Record<string, string>> = { max_new_tokens: 'max_tokens' }

/** Where nothing is said of sampling, OpenAI samples and this page's request does not. */
const greedily = (parameters: Parameters): Parameters =>
  sampling.some((name) => parameters[name] !== undefined) ? {} : { temperature: 0 }

const sampling = ['temperature', 'top_p', 'top_k'] as const

function openai({ origin, adapter, rank, inputs, parameters, keyed }: SnippetRequest): string {
  const model = adapter ?? 'default'
  const named = Object.entries({ ...greedily(parameters), ...parameters }).filter(([name]) => name !== 'do_sample')
  const fields = Object.fromEntries(named.map(([name, value]) => [openaiNames[name] ?? name, value]))
  return `import OpenAI from 'openai'

const client = new OpenAI({ baseURL: ${JSON.stringify(`${origin}/v1`)}, apiKey: ${keyed ? keyVariable : "'none'"} })
const reply = await client.completions.create(${json({ model, prompt: inputs, rank, ...fields })})
console.log(reply.choices[0].text)`
}

const indented = (text: string): string => text.replaceAll('\n', '\n  ')
