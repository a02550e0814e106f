/** A graph as text, one node a line. */
import type { Node, Value } from './graph.ts'
import { formatType } from './tensor-type.ts'
import { topologicalOrder } from './traversal.ts'

/** `%2: float32[batch, 4] = MatMul(x, w)` for each node that the outputs reach; constants print as their value. */
export function formatGraph(outputs: readonly Value[]): string {
  const order = topologicalOrder(outputs)
  const numbers = new Map(order.map((node, i) => [node, i]))
  const name = (value: Value): string => {
    if (value.producer.kind === 'node')
      return `%${numbers.get(value.producer)}${value.index > 0 ? `.${value.index}` : ''}`
    return value.producer.name ?? formatConstant(value)
  }
  return order
    .map((node) => `%${numbers.get(node)}: ${node.types.map(formatType).join(', ')} = ${formatCall(node, name)}`)
    .join('\n')
}

function formatCall(node: Node, name: (value: Value) => string): string {
  const attributes = Object.entries(node.attributes).map(([key, value]) => `${key}=${JSON.stringify(value)}`)
  return `${node.op}(${[...node.inputs.map(name), ...attributes].join(', ')})`
}

function formatConstant({ producer, shape, dtype }: Value): string {
  if (producer.kind !== 'initializer' || !ArrayBuffer.isView(producer.data)) return formatType({ dtype, shape })
  const values = Array.from(producer.data as ArrayLike<number | bigint>, String)
  if (shape.length === 0) return values.join()
  return values.length <= 8 ? `[${values.join(', ')}]` : formatType({ dtype, shape })
}
