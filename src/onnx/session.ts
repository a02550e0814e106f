/** Door 1 to ONNX Runtime: onnxruntime-node's own API, for training, scoring, tests and tools. Runs block the event loop. */
import './quiet-runtime.ts'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { errors } from '../errors.ts'
import type { NumericData } from './graph.ts'
import { missingCudaFile } from './native/library.ts'
import type { DType } from './tensor-type.ts'

export interface TensorData<D extends NumericData = NumericData> {
  readonly dtype: DType
  readonly shape: readonly number[]
  /** Fed without a copy, also when it is a view. */
  readonly data: D
}

/** On what a session runs. */
export interface ExecutionOptions {
  readonly provider?: 'cpu' | 'cuda' | undefined
  /** Which CUDA device. */
  readonly deviceId?: number | undefined
  /** Threads within an op; all cores by default. */
  readonly threads?: number | undefined
}

export interface SessionOptions extends ExecutionOptions {
  /** Directory in which external data is looked up when the model comes as bytes. */
  readonly externalDataDirectory?: string
  /** Off keeps memory flat when shapes vary from run to run. */
  readonly memoryPattern?: boolean
}

export class Session {
  readonly #session: InferenceSession

  private constructor(session: InferenceSession) {
    this.#session = session
  }

  /** @throws device_unavailable where CUDA is asked for and not there */
  static async create(model: Uint8Array | string, options: SessionOptions = {}): Promise<Session> {
    const settings = sessionOptions(options)
    // Asked first, since the runtime would write its own complaint to the terminal.
    const missing = options.provider === 'cuda' ? missingCudaFile() : null
    if (missing !== null) throw errors.deviceUnavailable('cuda', missing)
    const session =
      typeof model === 'string'
        ? await InferenceSession.create(model, settings)
        : await InferenceSession.create(model, settings)
    return new Session(session)
  }

  get inputNames(): readonly string[] {
    return this.#session.inputNames
  }

  get outputNames(): readonly string[] {
    return this.#session.outputNames
  }

  /** All outputs, or those asked for. Feeds without an input of that name are refused. */
  async run(
    feeds: Readonly<Record<string, TensorData>>,
    outputs?: readonly string[],
  ): Promise<Record<string, TensorData>> {
    const unknown = Object.keys(feeds).filter((name) => !this.inputNames.includes(name))
    if (unknown.length > 0)
      throw new RangeError(`expected inputs ${this.inputNames.join(', ')}, got ${unknown.join(', ')}`)
    const tensors = Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, toTensor(tensor)]))
    const results = await this.#session.run(tensors, outputs ?? this.outputNames)
    return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, fromTensor(tensor as Tensor)]))
  }

  async close(): Promise<void> {
    await this.#session.release()
  }
}

function sessionOptions(options: SessionOptions): InferenceSession.SessionOptions {
  const { externalDataDirectory, provider = 'cpu', deviceId = 0, threads, memoryPattern = false } = options
  return {
    executionProviders: provider === 'cuda' ? [{ name: 'cuda', deviceId }, 'cpu'] : ['cpu'],
    interOpNumThreads: 1,
    ...(threads === undefined ? {} : { intraOpNumThreads: threads }),
    enableMemPattern: memoryPattern,
    logSeverityLevel: 3,
    extra: {
      session: {
        intra_op: { allow_spinning: '0' },
        ...(externalDataDirectory === undefined
          ? {}
          : {
              model_external_initializers_file_folder_path: `${externalDataDirectory}/`,
            }),
      },
    },
  }
}

function toTensor({ dtype, data, shape }: TensorData): Tensor {
  return new Tensor(dtype, data as Tensor.DataTypeMap[typeof dtype], shape)
}

function fromTensor({ type, data, dims }: Tensor): TensorData {
  return { dtype: type as DType, data: data as NumericData, shape: dims }
}
