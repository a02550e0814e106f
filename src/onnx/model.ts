/** From values to an ONNX model: names, node order, and weights inside the model or in a file beside it. */
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { type AttributeValue, dataTypes, type Spelling, spell } from './encoding.ts'
import type { ExternalData, Leaf, Node, NumericData, Value } from './graph.ts'
import { lower } from './lowering.ts'
import { domains } from './ops.ts'
import {
  type AttributeProto,
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataLocation as DataLocation,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from './proto/onnx_pb.ts'
import { type DType, staticSize, type TensorType } from './tensor-type.ts'
import { topologicalOrder } from './traversal.ts'

/** Opset 21 has every op used here; IR 10 belongs to it. */
const opsetImport = [
  { domain: '', version: 21n },
  { domain: 'com.microsoft', version: 1n },
]
const irVersion = 10n

interface SpelledNode extends Required<Spelling> {
  readonly node: Node
}

/** An ONNX model (protobuf) with these named outputs; its inputs are the inputs that they reach. */
export function serializeModel(outputs: Readonly<Record<string, Value>>): Uint8Array {
  const names = Object.keys(outputs)
  const lowered = lower(Object.values(outputs))
  const values = lowered.map((value, i) => (canTakeName(value, lowered, i) ? value : value.identity()))
  const nodes = leavesLast(topologicalOrder(values), values).map(spelled)
  const leaves = leavesOf(nodes)
  const naming = new Naming()
  values.forEach((value, i) => {
    naming.give(value, names[i] as string)
  })
  for (const leaf of leaves) naming.give(leaf, (leaf.producer as Leaf).name ?? 'constant')
  const graph = {
    name: 'dylora',
    node: nodes.map((node) => nodeProto(node, naming)),
    input: leaves.filter(isInput).map((leaf) => valueProto(naming.of(leaf), leaf)),
    initializer: leaves.filter((leaf) => !isInput(leaf)).map((leaf) => initializerProto(naming.of(leaf), leaf)),
    output: values.map((value) => valueProto(naming.of(value), value)),
  }
  const model = create(ModelProtoSchema, {
    irVersion,
    producerName: 'dylora-serve',
    opsetImport,
    graph,
  })
  return toBinary(ModelProtoSchema, model)
}

const isInput = ({ producer }: Value): boolean => producer.kind === 'input'

/** A node's output can carry the output's name itself; a leaf, or a value given twice, needs an Identity. */
function canTakeName(value: Value, values: readonly Value[], i: number): boolean {
  const first = values.findIndex(({ producer, index }) => producer === value.producer && index === value.index)
  return value.producer.kind === 'node' && first === i
}

/**
 * Nodes that nothing reads go last, in the order of the outputs. ONNX Runtime starts from the last such node, so the
 * gradients of the last layer come first and the operands of the other layers are freed on the way.
 */
function leavesLast(order: readonly Node[], outputs: readonly Value[]): Node[] {
  const read = new Set(order.flatMap(({ inputs }) => inputs.map(({ producer }) => producer)))
  const last = new Set(outputs.map(({ producer }) => producer as Node).filter((node) => !read.has(node)))
  return [...order.filter((node) => !last.has(node)), ...last]
}

function spelled(node: Node): SpelledNode {
  const { inputs = [], attributes = {} } = spell(node)
  return { node, inputs: [...node.inputs, ...inputs], attributes }
}

/** The leaves that nodes read, each once. */
function leavesOf(nodes: readonly SpelledNode[]): Value[] {
  const leaves = new Map<Node | Leaf, Value>()
  for (const value of nodes.flatMap(({ inputs }) => inputs)) {
    if (value.producer.kind !== 'node' && !leaves.has(value.producer)) leaves.set(value.producer, value)
  }
  return [...leaves.values()]
}

/** Gives every value and node one name. */
class Naming {
  readonly #values = new Map<Node | Leaf, string[]>()
  readonly #taken = new Map<string, number>()

  /** The name that is wanted, or that name with a number. */
  unique(wanted: string): string {
    const count = this.#taken.get(wanted) ?? 0
    this.#taken.set(wanted, count + 1)
    return count === 0 ? wanted : this.unique(`${wanted}_${count}`)
  }

  give({ producer, index }: Pick<Value, 'producer' | 'index'>, wanted: string): string {
    const names = this.#values.get(producer) ?? []
    this.#values.set(producer, names)
    names[index] ??= this.unique(wanted)
    return names[index]
  }

  of({ producer, index }: Value): string {
    const name = this.#values.get(producer)?.[index]
    if (name === undefined) throw new TypeError('expected a value to be named before it is read')
    return name
  }
}

function nodeProto({ node, inputs, attributes }: SpelledNode, naming: Naming): NodeProto {
  const name = naming.unique(node.scope === '' ? node.op : `${node.scope}/${node.op}`)
  return create(NodeProtoSchema, {
    name,
    opType: node.op,
    domain: domains[node.op] ?? '',
    input: inputs.map((value) => naming.of(value)),
    output: node.types.map((_, index) => naming.give({ producer: node, index }, `${name}:${index}`)),
    attribute: Object.entries(attributes).map(([key, value]) => attributeProto(key, value)),
  })
}

function attributeProto(name: string, value: AttributeValue): AttributeProto {
  if ('float' in value)
    return create(AttributeProtoSchema, {
      name,
      type: AttributeType.FLOAT,
      f: value.float,
    })
  if ('int' in value)
    return create(AttributeProtoSchema, {
      name,
      type: AttributeType.INT,
      i: BigInt(value.int),
    })
  if ('ints' in value) {
    return create(AttributeProtoSchema, {
      name,
      type: AttributeType.INTS,
      ints: value.ints.map(BigInt),
    })
  }
  if ('string' in value) {
    return create(AttributeProtoSchema, {
      name,
      type: AttributeType.STRING,
      s: new TextEncoder().encode(value.string),
    })
  }
  return create(AttributeProtoSchema, {
    name,
    type: AttributeType.TENSOR,
    t: zero(value.zeroOf),
  })
}

const bytesPerElement: Readonly<Record<DType, number>> = {
  float32: 4,
  float64: 8,
  float16: 2,
  int32: 4,
  int64: 8,
  uint8: 1,
  bool: 1,
}

function zero(dtype: DType): TensorProto {
  const rawData = new Uint8Array(bytesPerElement[dtype])
  return create(TensorProtoSchema, {
    dims: [1n],
    dataType: dataTypes[dtype],
    rawData,
  })
}

function valueProto(name: string, { dtype, shape }: TensorType): ValueInfoProto {
  const dim = shape.map((size) =>
    typeof size === 'number'
      ? { value: { case: 'dimValue' as const, value: BigInt(size) } }
      : { value: { case: 'dimParam' as const, value: size } },
  )
  const tensor = { elemType: dataTypes[dtype], shape: { dim } }
  return create(ValueInfoProtoSchema, {
    name,
    type: { value: { case: 'tensorType', value: tensor } },
  })
}

function initializerProto(name: string, { producer, dtype, shape }: Value): TensorProto {
  if (producer.kind !== 'initializer') throw new TypeError(`expected an initializer, got ${producer.kind}`)
  const dims = shape.map((dim) => BigInt(dim))
  const { data } = producer
  return create(TensorProtoSchema, {
    name,
    dims,
    dataType: dataTypes[dtype],
    ...payload(data, { dtype, shape }),
  } as MessageInitShape<typeof TensorProtoSchema>)
}

function payload(data: NumericData | ExternalData, type: TensorType): MessageInitShape<typeof TensorProtoSchema> {
  const bytes = (staticSize(type.shape) ?? 0) * bytesPerElement[type.dtype]
  const length = ArrayBuffer.isView(data) ? data.byteLength : data.length
  if (bytes !== length) throw new RangeError(`expected ${bytes} bytes of data, got ${length}`)
  if (ArrayBuffer.isView(data))
    return {
      rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    }
  const entries = {
    location: data.location,
    offset: String(data.offset),
    length: String(data.length),
  }
  const externalData = Object.entries(entries).map(([key, value]) => ({
    key,
    value,
  }))
  return { dataLocation: DataLocation.EXTERNAL, externalData }
}
