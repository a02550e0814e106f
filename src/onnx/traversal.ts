/** The nodes that values reach, in an order in which they can run. */
import type { Node, Value } from './graph.ts'

/** Every node once, after all that it reads. Without recursion: graphs are deeper than the stack. */
export function topologicalOrder(outputs: readonly Value[]): Node[] {
  const order: Node[] = []
  const seen = new Set<Node>()
  const stack: { node: Node; entered: boolean }[] = []
  const visit = ({ producer }: Value) => {
    if (producer.kind === 'node' && !seen.has(producer)) stack.push({ node: producer, entered: false })
  }
  for (const output of outputs) {
    visit(output)
    for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
      if (top.entered) {
        order.push(top.node)
      } else if (!seen.has(top.node)) {
        seen.add(top.node)
        stack.push({ node: top.node, entered: true })
        top.node.inputs.toReversed().forEach(visit)
      }
    }
  }
  return order
}
