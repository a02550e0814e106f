/** A served engine on a free port, and a client that reads streams and says when the tokens came. */
import { Agent, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pino } from 'pino'
import type { BaseModel } from '../../dylora/base-model.ts'
import type { Engine } from '../../inference/engine.ts'
import type { GenerateRequest } from '../../inference/request.ts'
import { buildApp } from '../../server/app.ts'

/** Milliseconds as the client sees them. */
export interface Streamed {
  readonly firstToken: number
  readonly gaps: readonly number[]
  readonly total: number
}

export interface Served {
  readonly stream: (asked: GenerateRequest) => Promise<Streamed>
  readonly close: () => Promise<void>
}

export async function serveEngine(engine: Engine, base: BaseModel): Promise<Served> {
  const { name, digest, config } = base
  const app = await buildApp({
    engine,
    info: {
      ...{ version: 'bench', versions: {}, limits: {} },
      baseModel: {
        ...{ name, digest, architecture: config.architecture, quantization: 'none' },
        ...{ positions: config.positions, vocabulary: config.vocabSize },
      },
      device: { kind: 'cpu', provider: 'CPUExecutionProvider', reason: 'asked for' },
    },
    notReadyBecause: () => null,
    logger: pino({ level: 'silent' }),
    bodyLimitBytes: 1 << 20,
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const agent = new Agent({ keepAlive: true, maxSockets: 1024 })
  return {
    stream: (asked) => streamOf(port, agent, asked),
    close: async () => {
      agent.destroy()
      await app.close()
    },
  }
}

function streamOf(port: number, agent: Agent, { inputs, adapterId, rank, maxNewTokens, sampling }: GenerateRequest) {
  const { temperature, topK, seed } = sampling
  const drawn = temperature > 0 ? { do_sample: true, temperature, top_k: topK, ...(seed !== null && { seed }) } : {}
  const body = JSON.stringify({ inputs, parameters: { max_new_tokens: maxNewTokens, ...drawn } })
  const query = new URLSearchParams({ ...(adapterId && { adapter_id: adapterId, rank: String(rank) }) })
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
  return new Promise<Streamed>((resolve, reject) => {
    const started = performance.now()
    const times: number[] = []
    const path = `/generate_stream?${query}`
    const sent = request({ host: '127.0.0.1', port, agent, path, method: 'POST', headers }, (reply) => {
      if (reply.statusCode !== 200) reject(new Error(`expected a stream, got status ${reply.statusCode}`))
      reply.on('data', () => times.push(performance.now() - started))
      reply.on('error', reject)
      reply.on('end', () => {
        const gaps = times.slice(1).map((time, i) => time - (times[i] ?? 0))
        resolve({ firstToken: times[0] ?? Number.NaN, gaps, total: performance.now() - started })
      })
    })
    sent.on('error', reject)
    sent.end(body)
  })
}
