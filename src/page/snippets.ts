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
}

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
  const { inputs, parameters } = request
  return `curl -N ${shell(urlOf('/generate_stream', request))} \\
  -H 'content-type: application/json' \\
  -d ${shell(json({ inputs, parameters }))}`
}

function tgi(request: SnippetRequest): string {
  const { inputs, parameters } = request
  return `import { InferenceClient } from '@huggingface/inference'

const client = new InferenceClient()
const reply = await client.textGeneration({
  endpointUrl: ${JSON.stringify(urlOf('/generate', request))},
  inputs: ${JSON.stringify(inputs)},
  parameters: ${indented(json(parameters))},
})
console.log(reply.generated_text)`
}

/** What the completions route calls otherwise; the rest goes by the same name. */
const openaiNames: Readonly<Record<string, string>> = { max_new_tokens: 'max_tokens' }

function openai({ origin, adapter, rank, inputs, parameters }: SnippetRequest): string {
  const model = adapter ?? 'default'
  const named = Object.entries(parameters).filter(([name]) => name !== 'do_sample')
  const fields = Object.fromEntries(named.map(([name, value]) => [openaiNames[name] ?? name, value]))
  return `import OpenAI from 'openai'

const client = new OpenAI({ baseURL: ${JSON.stringify(`${origin}/v1`)}, apiKey: process.env.DYLORA_API_KEY ?? 'none' })
const reply = await client.completions.create(${json({ model, prompt: inputs, rank, ...fields })})
console.log(reply.choices[0].text)`
}

const indented = (text: string): string => text.replaceAll('\n', '\n  ')
