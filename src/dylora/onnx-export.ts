/**
 * The weights in an ONNX export of a Hugging Face model, as Optimum and torch.onnx write it: parameters keep their names as
 * initializers, and those that the exporter has transposed are known by the node that uses them.
 */
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { type Initializer, type ModelFile, type NodeUse, readModelFile } from '../onnx/model-file.ts'
import { exists } from './publish.ts'
import { type Dtype, FileFormatError, float32From, isFloat, readBytes } from './safetensors.ts'
import type { StoredTensor, StoredTensors } from './stored-tensors.ts'

/** Where exports put the model, the best first: with the decoder's two graphs in one, without its cache, in a folder. */
const places = [
  'model.onnx',
  'decoder_model.onnx',
  'decoder_model_merged.onnx',
  'onnx/model.onnx',
  'onnx/decoder_model.onnx',
  'onnx/decoder_model_merged.onnx',
]

/** The export in the directory of a checkpoint; null when there is none. */
export async function findExport(directory: string): Promise<string | null> {
  for (const place of places) if (await exists(join(directory, place))) return join(directory, place)
  return null
}

/** ONNX's data types, by safetensors' names. */
const dtypes: Readonly<Record<number, Dtype>> = {
  ...{ 1: 'F32', 2: 'U8', 3: 'I8', 4: 'U16', 5: 'I16', 6: 'I32', 7: 'I64' },
  ...{ 9: 'BOOL', 10: 'F16', 11: 'F64', 12: 'U32', 13: 'U64', 16: 'BF16' },
}

/**
 * Parameters by the names they had in PyTorch. Throws FileFormatError for a graph that was fused or quantised, and for
 * weights of which nothing tells the parameter.
 */
export async function readExport(path: string): Promise<StoredTensors> {
  const model = await readModelFile(path).catch((error: unknown) => {
    throw error instanceof Error && !('code' in error)
      ? new FileFormatError(path, error.message.replace(`${path}: `, ''))
      : error
  })
  expectPlain(path, model)
  const tensors = new Map<string, StoredTensor>()
  for (const initializer of model.initializers) {
    const stored = storedTensor(path, initializer)
    const parameter = parameterOf(initializer, stored, model)
    if (parameter === null) continue
    if (parameter === undefined) {
      throw new FileFormatError(
        path,
        `nothing tells which parameter initializer '${initializer.name}' [${initializer.shape}] is`,
      )
    }
    tensors.set(parameter.name, parameter.transposed ? transposed(stored) : stored)
  }
  return tensors
}

/** Ops that stand for others, or weights in other units, are no longer the model that config.json describes. */
function expectPlain(path: string, { nodes }: ModelFile): void {
  const foreign = nodes.find(({ domain }) => domain !== '')
  if (foreign)
    throw new FileFormatError(
      path,
      `it has the op ${foreign.domain}.${foreign.opType}: expected an export that was not optimised`,
    )
  const quantised = nodes.find(({ opType }) => /Quant|Integer/.test(opType))
  if (quantised)
    throw new FileFormatError(path, `it has the op ${quantised.opType}: expected an export that was not quantised`)
}

interface Parameter {
  readonly name: string
  readonly transposed: boolean
}

/** Null for what the exporter computed and no weight is; undefined when nothing tells. */
function parameterOf(
  { name }: Initializer,
  { isFloat, shape }: StoredTensor,
  model: ModelFile,
): Parameter | null | undefined {
  if (isParameterName(name)) return { name, transposed: false }
  // Shapes, indices, masks and the constants of activations.
  if (!isFloat || shape.length < 2) return null
  const product = model.nodes.find(({ opType, inputs }) => opType === 'MatMul' && inputs[1] === name)
  const path = product === undefined ? null : modulePath(product)
  return path === null || shape.length !== 2 ? undefined : { name: `${path}.weight`, transposed: true }
}

/** `transformer.h.0.ln_1.weight`, but not `onnx::MatMul_12`, `/Constant_output_0` or `val_3`. */
const isParameterName = (name: string): boolean => /^[A-Za-z_]\w*(\.\w+)+$/.test(name)

/**
 * The module that a node is in: `/transformer/h.0/attn/c_attn/MatMul` as the exporter by tracing names nodes, or
 * `['', 'transformer.h.0.attn.c_attn', 'linear']` in what torch's newer exporter says of them.
 */
function modulePath({ name, metadata }: NodeUse): string | null {
  const scopes = /'([\w.]+)', '\w+'\]$/.exec(metadata.get('pkg.torch.onnx.name_scopes') ?? '')
  const parts = name.startsWith('/') ? name.split('/').slice(1, -1) : []
  return scopes?.[1] ?? (parts.length > 0 ? parts.join('.') : null)
}

function storedTensor(path: string, { name, shape, dataType, data }: Initializer): StoredTensor {
  const dtype = dtypes[dataType]
  if (dtype === undefined)
    throw new FileFormatError(path, `initializer '${name}' has data type ${dataType}, which is not known`)
  const read = async () =>
    float32From(dtype, data instanceof Uint8Array ? new Uint8Array(data).buffer : await partOf(data))
  return { shape, dtype, isFloat: isFloat(dtype), read }
}

async function partOf({
  path,
  offset,
  length,
}: {
  path: string
  offset: number
  length: number
}): Promise<ArrayBuffer> {
  const handle = await open(path, 'r')
  try {
    return (await readBytes(handle, offset, length)).buffer
  } finally {
    await handle.close()
  }
}

function transposed({ shape, dtype, isFloat, read }: StoredTensor): StoredTensor {
  const [rows = 0, columns = 0] = shape
  return {
    shape: [columns, rows],
    dtype,
    isFloat,
    async read() {
      const values = await read()
      return values.map((_, i) => values[(i % rows) * columns + Math.floor(i / rows)] ?? 0)
    },
  }
}
