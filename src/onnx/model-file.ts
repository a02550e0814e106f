/** Reads what an ONNX model made elsewhere stores: its initializers, which ops use them, and nothing that would run. */
import { readFile, stat } from 'node:fs/promises'
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path'
import { fromBinary } from '@bufbuild/protobuf'
import {
  TensorProto_DataLocation as DataLocation,
  type GraphProto,
  ModelProtoSchema,
  type NodeProto,
  type TensorProto,
} from './proto/onnx_pb.ts'

/** Values in the model itself, or a part of a file beside it. */
type InitializerData = Uint8Array | { readonly path: string; readonly offset: number; readonly length: number }

export interface Initializer {
  readonly name: string
  readonly shape: readonly number[]
  /** ONNX's number of the data type: 1 is float32. */
  readonly dataType: number
  readonly data: InitializerData
}

/** A node, as far as its weights are concerned. */
export interface NodeUse {
  /** Such as `/transformer/h.0/attn/c_attn/Gemm`. */
  readonly name: string
  readonly opType: string
  /** Empty for ONNX's own ops. */
  readonly domain: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  /** What the exporter says of it, by key. */
  readonly metadata: ReadonlyMap<string, string>
}

export interface ModelFile {
  readonly initializers: readonly Initializer[]
  /** Those of subgraphs too. */
  readonly nodes: readonly NodeUse[]
}

/** Throws an Error that says what is wrong with the file; the system's error when it is not there. */
export async function readModelFile(path: string): Promise<ModelFile> {
  const graph = parse(path, await readFile(path))
  const nodes: NodeProto[] = []
  const tensors: TensorProto[] = []
  for (const each of graphsOf(graph)) {
    nodes.push(...each.node)
    tensors.push(...each.initializer)
  }
  return {
    nodes: nodes.map(({ name, opType, domain, input, output, metadataProps }) => {
      const metadata = new Map(metadataProps.map(({ key, value }) => [key, value]))
      return { name, opType, domain: domain === 'ai.onnx' ? '' : domain, inputs: input, outputs: output, metadata }
    }),
    initializers: await Promise.all(tensors.map((tensor) => initializerOf(path, tensor))),
  }
}

function parse(path: string, bytes: Uint8Array): GraphProto {
  try {
    const { graph } = fromBinary(ModelProtoSchema, bytes)
    if (graph !== undefined && graph.node.length > 0) return graph
  } catch {
    // A file of another kind.
  }
  throw new Error(`${path}: expected an ONNX model`)
}

/** The graph and those inside its nodes: branches and loop bodies. */
function* graphsOf(graph: GraphProto): Generator<GraphProto> {
  yield graph
  for (const { g, graphs } of graph.node.flatMap(({ attribute }) => attribute)) {
    for (const inner of [...(g === undefined ? [] : [g]), ...graphs]) yield* graphsOf(inner)
  }
}

/** Bytes of one element, by data type; those of weights and of what exports hold beside them. */
const elementBytes: Readonly<Record<number, number>> = {
  ...{ 1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2 },
}

async function initializerOf(path: string, tensor: TensorProto): Promise<Initializer> {
  const { name, dataType } = tensor
  const shape = tensor.dims.map(Number)
  const size = shape.reduce((product, size) => product * size, elementBytes[dataType] ?? Number.NaN)
  const data = tensor.dataLocation === DataLocation.EXTERNAL ? await external(path, tensor, size) : inline(tensor)
  const length = data instanceof Uint8Array ? data.byteLength : data.length
  if (!Number.isNaN(size) && size !== length) {
    throw new Error(`${path}: initializer '${name}': expected ${size} bytes for [${shape}], got ${length}`)
  }
  return { name, shape, dataType, data }
}

/** Bytes, or numbers of the type that ONNX keeps a data type in. */
function inline({
  rawData,
  floatData,
  doubleData,
  int32Data,
  int64Data,
  uint64Data,
  dataType,
}: TensorProto): Uint8Array {
  if (rawData.length > 0) return rawData
  if (floatData.length > 0) return bytesOf(Float32Array.from(floatData))
  if (doubleData.length > 0) return bytesOf(Float64Array.from(doubleData))
  if (int64Data.length > 0) return bytesOf(BigInt64Array.from(int64Data))
  if (uint64Data.length > 0) return bytesOf(BigUint64Array.from(uint64Data))
  const width = elementBytes[dataType] ?? 4
  if (width === 1) return Uint8Array.from(int32Data)
  return width === 2 ? bytesOf(Uint16Array.from(int32Data)) : bytesOf(Int32Array.from(int32Data))
}

const bytesOf = ({ buffer, byteOffset, byteLength }: NodeJS.ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength)

/** ONNX, "External Data": location relative to the model, offset 0 and the rest of the file by default. */
async function external(path: string, { name, externalData }: TensorProto, size: number) {
  const facts = new Map(externalData.map(({ key, value }) => [key, value]))
  const location = facts.get('location') ?? ''
  const file = resolve(dirname(path), location)
  if (location === '' || !isBelow(dirname(resolve(path)), file)) {
    throw new Error(`${path}: initializer '${name}': expected a file beside the model, got '${location}'`)
  }
  const { size: all } = await stat(file).catch(() => {
    throw new Error(`${path}: initializer '${name}' is in ${join(dirname(path), location)}, which is not there`)
  })
  const offset = Number(facts.get('offset') ?? 0)
  const length = Number(facts.get('length') ?? (Number.isNaN(size) ? all - offset : size))
  if (!(offset >= 0 && length >= 0 && offset + length <= all)) {
    throw new Error(
      `${path}: initializer '${name}': expected bytes within ${all} of ${location}, got ${offset} + ${length}`,
    )
  }
  return { path: file, offset, length }
}

function isBelow(root: string, path: string): boolean {
  const way = relative(root, path)
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way)
}
