/** `POST /v1/completions` and `POST /v1/chat/completions`: OpenAI's API over the same engine, with the rank in the model's name. */
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import type { z } from 'zod'
import type { ChatTemplate } from '../../dylora/chat-template.ts'
import { disconnectSignal } from '../disconnect.ts'
import { acceptedHeaders } from '../generate-reply.ts'
import { type Asked, askedChat, askedCompletion } from '../openai/asked.ts'
import { openAiErrorOf, openAiFailure } from '../openai/openai-error.ts'
import {
  ChatCompletion,
  ChatCompletionChunk,
  type Chunker,
  Completion,
  chatChoice,
  chatChunker,
  completionChoice,
  completionChunker,
  type Frame,
  frameOf,
  type Reading,
  usageOf,
} from '../openai/openai-reply.ts'
import { ChatCompletionRequest, CompletionRequest } from '../openai/openai-request.ts'
import { type Choice, generatedTokens, Texts } from '../openai/texts.ts'
import type { ServiceInfo, Serving } from '../serving.ts'
import { sseField, withHeartbeat } from '../sse.ts'

export interface OpenAiOptions {
  readonly engine: Serving
  readonly info: ServiceInfo
  /** Null where the base has none: chats are refused. */
  readonly chatTemplate: ChatTemplate | null
  /** A comment is sent on a stream that was quiet for so long. */
  readonly heartbeatMs: number
}

const openAiFailures = {
  400: openAiFailure('Not JSON, or a value, a rank or an unimplemented field that is not allowed; names what is'),
  404: openAiFailure('No such model'),
  413: openAiFailure('The body is too large'),
  415: openAiFailure('The body is not declared as JSON'),
  429: openAiFailure('Too many requests wait; see Retry-After'),
  500: openAiFailure('A failure here; says nothing but the request id'),
  503: openAiFailure('Not ready, or shutting down'),
}

const stream = 'events with the same objects in pieces, ended by `data: [DONE]`; a failure is an event with `error`'

/** The two routes differ in words alone. */
interface Dialect {
  readonly prefix: string
  readonly object: string
  readonly chunkObject: string
  readonly choice: (choice: Choice, asked: Asked, reading: Reading) => object
  readonly chunker: (asked: Asked, reading: Reading) => Chunker
}

const completions: Dialect = {
  prefix: 'cmpl',
  object: 'text_completion',
  chunkObject: 'text_completion',
  choice: completionChoice,
  chunker: completionChunker,
}

const chats: Dialect = {
  prefix: 'chatcmpl',
  object: 'chat.completion',
  chunkObject: 'chat.completion.chunk',
  choice: chatChoice,
  chunker: chatChunker,
}

export const openAiRoutes: FastifyPluginAsyncZod<OpenAiOptions> = async (app, options) => {
  const { engine, info, chatTemplate: template } = options
  const texts = Math.max(1, Math.min(128, info.limits.max_waiting_requests ?? 128))
  app.post(
    '/v1/completions',
    {
      schema: schemaOf(
        'createCompletion',
        'Texts after prompts, as OpenAI has it',
        CompletionRequest,
        Completion,
        Completion,
      ),
    },
    (request, reply) =>
      answer(completions, askedCompletion(request.body as CompletionRequest, engine, texts), request, reply, options),
  )
  app.post(
    '/v1/chat/completions',
    {
      schema: schemaOf(
        'createChatCompletion',
        'The next message of a chat, as OpenAI has it',
        ChatCompletionRequest,
        ChatCompletion,
        ChatCompletionChunk,
      ),
    },
    (request, reply) =>
      answer(
        chats,
        askedChat(request.body as ChatCompletionRequest, engine, { template, texts }),
        request,
        reply,
        options,
      ),
  )
}

function schemaOf(operationId: string, summary: string, body: z.ZodType, whole: z.ZodType, chunk: z.ZodType) {
  return {
    ...{ operationId, summary, tags: ['openai'], body },
    response: {
      200: {
        description: `The texts; with \`stream\`, ${stream}`,
        content: { 'application/json': { schema: whole }, 'text/event-stream': { schema: chunk } },
      },
      ...openAiFailures,
    },
  }
}

async function answer(
  dialect: Dialect,
  asked: Asked,
  request: FastifyRequest,
  reply: FastifyReply,
  options: OpenAiOptions,
): Promise<unknown> {
  const { engine, info, heartbeatMs } = options
  const grammar = asked.grammar === null ? undefined : await engine.prepareGrammar(asked.grammar)
  const constrained = { ...asked, request: { ...asked.request, grammar } }
  const texts = Texts.submit(engine, constrained, { key: request.id, gone: disconnectSignal(reply) })
  const { served } = texts.first
  const frame = frameOf(dialect.prefix, request.id, { asked, served, baseName: info.baseModel.name })
  reply.headers(acceptedHeaders({ served, promptTokens: texts.promptTokens }))
  if ((request.body as { stream?: boolean | null }).stream === true) {
    const events = eventsOf({ dialect, asked, frame, texts, reading: readingOf(engine), requestId: request.id })
    return reply
      .headers({ 'cache-control': 'no-cache', 'x-accel-buffering': 'no' })
      .type('text/event-stream')
      .send(Readable.from(withHeartbeat(events, heartbeatMs)))
  }
  const choices = await texts.choices()
  const generated = asked.onlyPrompt ? 0 : generatedTokens(choices)
  return {
    ...frame,
    object: dialect.object,
    choices: choices.map((choice) => dialect.choice(choice, asked, readingOf(engine))),
    usage: usageOf(await texts.promptUsage(), generated),
  }
}

const readingOf = ({ tokenizer, registry }: Serving): Reading => ({
  tokenizer,
  around: (adapterId) => {
    const prompt = adapterId === null ? undefined : registry.get(adapterId)?.adapter?.prompt
    return { before: prompt?.prefix.length ?? 0, after: prompt?.suffix.length ?? 0 }
  },
})

interface Streaming {
  readonly dialect: Dialect
  readonly asked: Asked
  readonly frame: Frame
  readonly texts: Texts
  readonly reading: Reading
  readonly requestId: string
}

async function* eventsOf({ dialect, asked, frame, texts, reading, requestId }: Streaming): AsyncGenerator<string> {
  const head = { ...frame, object: dialect.chunkObject }
  const usage = asked.includeUsage ? { usage: null } : {}
  const chunkOf = dialect.chunker(asked, reading)
  let generated = 0
  try {
    for await (const event of texts.events()) {
      generated += 1
      const { choice, isEmpty } = chunkOf(event)
      if (!isEmpty) yield sseField({ ...head, choices: [choice], ...usage })
    }
    if (asked.includeUsage)
      yield sseField({ ...head, choices: [], usage: usageOf(await texts.promptUsage(), generated) })
  } catch (error) {
    yield sseField(openAiErrorOf(error, requestId).body)
  } finally {
    texts.abort()
  }
  yield 'data: [DONE]\n\n'
}
