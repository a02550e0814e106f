/** One request and one reply of each operation, as they are in the OpenAPI document. A test holds them to its schemas. */
import { type DyloraError, errors } from '../errors.ts'
import { openAiErrorOf } from './openai/openai-error.ts'
import { httpError, problemOf } from './problem.ts'

const id = '9f2cd449-a8a0-44d7-972e-7989a87ed6b5'
const digest = 'sha256:c43e14dc35bb3d8f01667a8ad3ace409268a1e2eab7c5a970a532a014b062c55'
const baseDigest = 'sha256:166e0b12741efe64026a52cedda09f1e45d82e97b1b78bdc14968733bee3247c'
const inputs = 'name : The Vaults | Type : pub | area : riverside'
const text = ' The Vaults is a pub by the riverside .'

const served = { adapter_id: 'e2e', adapter_digest: digest, rank: 4, rank_requested: 4, rank_reason: 'requested' }
const generate = { inputs, parameters: { adapter_id: 'e2e', rank: 4, max_new_tokens: 30 } }

const bleu = {
  ...{ dataset: 'e2e', split: 'validation', metric: 'bleu', value: 65.2, ci95: [63.9, 66.4], n: 547 },
  ...{ higher_is_better: true, primary: true },
}
const percentiles = { count: 128, p50: 4.2, p90: 6.1, p99: 9.8 }

const adapter = {
  ...{ id: 'e2e', state: 'serving', reason: null, is_default: true, pinned_to: null, digest, resident: true },
  ...{ base_model: 'tiny-gpt2', base_digest: baseDigest, method: 'dylora', max_rank: 8, lora_alpha: 16 },
  ...{ scaling: 'alpha/r', target_modules: ['q_proj', 'v_proj'], auto: { rank: 4, reason: 'auto' }, policy: {} },
  ranks: [
    {
      ...{ rank: 4, parameters: 12_288, bytes: 49_152, quality: [bleu], baselines: [] },
      latency: { time_to_first_token_ms: percentiles, inter_token_ms: percentiles, total_ms: percentiles },
    },
  ],
}

const jobRequest = {
  ...{ adapter: 'mine', dataset: 'reviews', settings: { max_rank: 8, epochs: 3 } },
  ...{ metrics: ['bleu', 'rouge_l'], gate: { not_worse: true, min_quality: 40 } },
}

const job = {
  ...{ id, state: 'running', reason: null, attempt: 1, worker: 'gpu-node-1-7', adapter_digest: null, files_kept: true },
  progress: {
    ...{ step: 200, steps: 1200, loss: 1.52, loss_by_rank: { 1: 1.71, 8: 1.48 } },
    ...{ tokens_per_second: 20_150, seconds_left: 61 },
  },
  ...{ created_at: '2026-11-02T10:00:00.000Z', started_at: '2026-11-02T10:00:01.000Z', ended_at: null },
  spec: { ...jobRequest, priority: 0, time_limit_seconds: 21_600 },
}

const queued = { ...job, state: 'queued', attempt: 0, worker: null, progress: null, started_at: null }

const model = {
  ...{ id: 'e2e', object: 'model', created: 1_793_527_200, owned_by: 'dylora-serve', root: 'tiny-gpt2' },
  ...{ parent: 'tiny-gpt2', max_model_len: 257, dylora: { digest, ranks: [1, 2, 3, 4, 5, 6, 7, 8], is_default: true } },
}

const usage = {
  ...{ prompt_tokens: 14, completion_tokens: 11, total_tokens: 25 },
  prompt_tokens_details: { cached_tokens: 0 },
}
const completion = { id: `cmpl-${id}`, created: 1_793_527_200, model: 'e2e:r4' }
const chat = { id: `chatcmpl-${id}`, created: 1_793_527_200, model: 'e2e:r4' }

const sse = (...values: readonly (object | string)[]): string =>
  values.map((value) => `data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`).join('')

const event = { index: 0, token: { id: 283, text: ' The', logprob: -0.48, special: false } }
const generateEvents = sse(
  { ...event, generated_text: null, details: null },
  {
    ...{ index: 1, token: { id: 0, text: '<|endoftext|>', logprob: -0.01, special: true }, generated_text: ' The' },
    details: {
      ...{
        finish_reason: 'eos_token',
        generated_tokens: 2,
        seed: null,
        prompt_tokens: 14,
        cached_tokens: 0,
        input_length: 14,
      },
      ...served,
    },
  },
)

interface Exchange {
  readonly request?: unknown
  /** By content type, of a reply with status 2xx. */
  readonly reply: Readonly<Record<string, unknown>>
}

const jsonReply = (value: unknown) => ({ 'application/json': value })

/** By operation id. */
export const exchanges: Readonly<Record<string, Exchange>> = {
  generate: {
    request: generate,
    reply: { ...jsonReply({ generated_text: text }), 'text/event-stream': generateEvents },
  },
  generateCompatibly: {
    request: generate,
    reply: { ...jsonReply([{ generated_text: text }]), 'text/event-stream': generateEvents },
  },
  generateStream: { request: generate, reply: { 'text/event-stream': generateEvents } },
  createCompletion: {
    request: { model: 'e2e:r4', prompt: inputs, max_tokens: 30 },
    reply: {
      ...jsonReply({
        ...{ ...completion, object: 'text_completion' },
        ...{ choices: [{ index: 0, text, logprobs: null, finish_reason: 'stop', seed: 7 }], usage, dylora: served },
      }),
      'text/event-stream': sse(
        {
          ...{ ...completion, object: 'text_completion' },
          ...{ choices: [{ index: 0, text: ' The', logprobs: null, finish_reason: null, seed: 7 }], dylora: served },
        },
        '[DONE]',
      ),
    },
  },
  createChatCompletion: {
    request: { model: 'e2e:r4', messages: [{ role: 'user', content: inputs }], max_tokens: 30 },
    reply: {
      ...jsonReply({
        ...{ ...chat, object: 'chat.completion' },
        choices: [
          {
            ...{ index: 0, message: { role: 'assistant', content: text, refusal: null } },
            ...{ logprobs: null, finish_reason: 'stop', seed: 7 },
          },
        ],
        ...{ usage, dylora: served },
      }),
      'text/event-stream': sse(
        {
          ...{ ...chat, object: 'chat.completion.chunk' },
          choices: [{ index: 0, delta: { content: ' The' }, logprobs: null, finish_reason: null, seed: 7 }],
          dylora: served,
        },
        '[DONE]',
      ),
    },
  },
  listModels: { reply: jsonReply({ object: 'list', data: [model] }) },
  retrieveModel: { reply: jsonReply(model) },
  loadLoraAdapter: {
    request: { lora_name: 'mine', lora_path: 'mine' },
    reply: { 'text/plain': "Success: LoRA adapter 'mine' added successfully." },
  },
  unloadLoraAdapter: {
    request: { lora_name: 'mine' },
    reply: { 'text/plain': "Success: LoRA adapter 'mine' removed successfully." },
  },
  evaluate: {
    request: {
      examples: [{ inputs, references: [text.trim(), 'There is a pub by the river called The Vaults .'] }],
      parameters: { adapter_id: 'e2e', rank: [1, 'max'], metrics: ['bleu'], max_new_tokens: 30 },
    },
    reply: jsonReply({
      ...{ adapter_id: 'e2e', adapter_digest: digest, examples: 100, seed: 42 },
      ranks: [
        {
          ...{ rank: 8, rank_requested: 'max', rank_reason: 'max' },
          metrics: [{ metric: 'bleu', value: 61.2, ci95: [58.9, 63.4], n: 100, higher_is_better: true }],
        },
      ],
    }),
  },
  listAdapters: { reply: jsonReply({ adapters: [adapter] }) },
  getAdapter: { reply: jsonReply(adapter) },
  createJob: { request: jobRequest, reply: jsonReply(queued) },
  listJobs: { reply: jsonReply({ jobs: [job], next_cursor: null }) },
  getJob: { reply: jsonReply(job) },
  cancelJob: { reply: jsonReply({ ...job, state: 'cancelled', ended_at: '2026-11-02T10:02:00.000Z' }) },
  retryJob: { reply: jsonReply(queued) },
  watchJob: {
    reply: {
      'text/event-stream': `id:7\nevent:step\n${sse({ step: 20, steps: 1200, loss: 2.69, loss_by_rank: { 8: 2.61 } })}`,
    },
  },
  health: { reply: jsonReply({ status: 'ok' }) },
  ready: { reply: jsonReply({ status: 'ok' }) },
  info: {
    reply: jsonReply({
      ...{ service: 'dylora-serve', version: '0.1.0', versions: { node: '24.0.0', onnxruntime: '1.30.0' } },
      base_model: {
        ...{ name: 'tiny-gpt2', digest: baseDigest, architecture: 'gpt2', positions: 256 },
        ...{ vocabulary: 4096, quantization: 'none' },
      },
      device: { kind: 'cpu', provider: 'CPUExecutionProvider', reason: 'DEVICE is auto, and CUDA is not there' },
      limits: { max_batch_size: 16, max_waiting_requests: 128, max_total_tokens: 257 },
      ...{ default_adapter: 'e2e', adapters: ['e2e'] },
      ...{ model_id: 'tiny-gpt2', model_sha: baseDigest, model_device_type: 'cpu', router: 'dylora-serve' },
      ...{ max_concurrent_requests: 144, max_best_of: 16, max_stop_sequences: 16 },
      ...{ max_input_tokens: 256, max_total_tokens: 257, max_client_batch_size: 1 },
    }),
  },
  metrics: {
    reply: {
      'text/plain':
        '# HELP dylora_requests_running Requests in the batch\n# TYPE dylora_requests_running gauge\ndylora_requests_running 3\n',
    },
  },
}

const mistake = (detail: string, pointer: string): DyloraError =>
  errors.validation(`${pointer}: ${detail}`, { errors: [{ detail, pointer }] })

/** What is thrown where an operation answers with a status: of jobs, and of all others. */
const thrown: Readonly<Record<number, { readonly jobs?: Error; readonly other: Error }>> = {
  400: { other: httpError(400, "Body is not valid JSON but content-type is set to 'application/json'") },
  401: { other: errors.unauthorized("This needs an API key: expected the header 'Authorization: Bearer <key>'") },
  403: { other: errors.forbidden("This needs an admin key: 'web' is none") },
  404: { jobs: errors.jobNotFound(id), other: errors.adapterNotFound('nope', ['e2e']) },
  409: { other: errors.conflict(`Job ${id} is succeeded: only a queued or running one can be cancelled`) },
  413: {
    jobs: errors.tooLarge('data is larger than JOB_DATA_LIMIT allows'),
    other: httpError(413, 'Request body is too large'),
  },
  415: { other: httpError(415, 'Unsupported Media Type') },
  422: {
    jobs: mistake('expected at most 64, got 100', '#/settings/max_rank'),
    other: errors.rankNotAllowed(9, [0, 1, 2, 3, 4, 5, 6, 7, 8, 'max', 'auto', 'base']),
  },
  429: {
    jobs: errors.overloaded('As many jobs wait or run as may: expected fewer than 100'),
    other: errors.overloaded('The queue is full: 128 requests are waiting, 128 may'),
  },
  500: { other: new Error('it is only logged') },
  503: { other: errors.notReady('The server is shutting down') },
  507: { other: errors.storageFull('There is no room for the files of the job: nothing was taken') },
}

/** Made as the real ones are. Undefined for a status that is no failure. */
export function failureExample(path: string, status: number): unknown {
  const { jobs, other } = thrown[status] ?? {}
  const error = path.startsWith('/jobs') ? (jobs ?? other) : other
  if (error === undefined) return undefined
  if (!path.startsWith('/v1')) return problemOf(error, id)
  // What the native routes answer with 422, these answer with 400.
  return openAiErrorOf(status === 400 ? thrown[422]?.other : error, id).body
}
