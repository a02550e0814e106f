/** Reverse-mode differentiation: walk the graph backwards, apply the rules, undo broadcasting. */
import { type GradientRule, gradientRules } from './gradients.ts'
import { constant, type Leaf, type Node, scope, sum, Value } from './graph.ts'
import type { Op } from './ops.ts'
import { formatType, type Shape, sameShape, stretchedAxes } from './tensor-type.ts'
import { topologicalOrder } from './traversal.ts'

/** Gradients that have arrived at the outputs of a producer, per output. */
type Arrived = Map<Node | Leaf, Value[][]>

/**
 * ∂loss/∂x for each x in `wrt`, as if `constants` did not depend on it. Only what lies between `wrt` and the loss is differentiated, so frozen weights
 * get no gradient node. Throws where the loss does not depend on an x or an op on the way has no derivative.
 */
export function backward(loss: Value, wrt: readonly Value[], constants: readonly Value[] = []): Value[] {
  if (loss.shape.length !== 0) throw new RangeError(`expected a scalar loss, got ${formatType(loss)}`)
  const order = topologicalOrder([loss])
  const active = dependents(order, wrt, constants)
  const arrived: Arrived = new Map()
  arrive(arrived, loss, constant(1, loss.dtype))
  for (const node of order.toReversed()) {
    if (active.has(node))
      scope(['gradient', node.scope].filter(Boolean).join('/'), () => propagate(node, active, arrived))
  }
  return wrt.map((x) => {
    const gradient = total(arrived, x)
    if (gradient === null) throw new RangeError(`expected the loss to depend on ${describe(x)}`)
    return gradient
  })
}

/** The producers whose outputs depend on any of `wrt`, those of `wrt` included, by a way past all `constants`. */
function dependents(
  order: readonly Node[],
  wrt: readonly Value[],
  constants: readonly Value[],
): ReadonlySet<Node | Leaf> {
  const held = new Set<Node | Leaf>(constants.map(({ producer }) => producer))
  const active = new Set<Node | Leaf>(wrt.map(({ producer }) => producer))
  for (const node of order) {
    if (!held.has(node) && node.inputs.some(({ producer }) => active.has(producer))) active.add(node)
  }
  return active
}

function propagate(node: Node, active: ReadonlySet<Node | Leaf>, arrived: Arrived): void {
  const outputs = node.types.map((type, index) => new Value(node, index, type))
  const dys = outputs.map((y) => total(arrived, y))
  const [y] = outputs
  if (y === undefined || dys.every((gradient) => gradient === null)) return
  if (!node.inputs.some(({ producer }) => active.has(producer))) return
  const gradients = ruleOf(node.op)({
    inputs: node.inputs,
    attributes: node.attributes,
    y,
    dy: dys[0] ?? y.zerosLike(),
    outputs,
    dys,
  })
  node.inputs.forEach((x, i) => {
    const gradient = gradients[i]
    if (gradient && active.has(x.producer)) arrive(arrived, x, sumTo(gradient, x.shape))
  })
}

/** The one place where the type of the table is widened: op and scope come from the same node. */
function ruleOf(op: Op): (scope: unknown) => readonly (Value | null)[] {
  const rule: unknown = gradientRules[op]
  if (typeof rule !== 'function') throw new TypeError(`expected a differentiable op, got ${op}`)
  return rule as GradientRule<Op> as (scope: unknown) => readonly (Value | null)[]
}

function arrive(arrived: Arrived, { producer, index }: Value, gradient: Value): void {
  const perOutput = arrived.get(producer) ?? []
  const gradients = perOutput[index] ?? []
  gradients.push(gradient)
  perOutput[index] = gradients
  arrived.set(producer, perOutput)
}

function total(arrived: Arrived, { producer, index }: Value): Value | null {
  const gradients = arrived.get(producer)?.[index]
  if (gradients === undefined) return null
  const all = sum(gradients)
  // The fan-in sum is built once, however often it is asked for.
  gradients.splice(0, gradients.length, all)
  return all
}

/** Undoes broadcasting: sums over every axis that was stretched. */
function sumTo(gradient: Value, shape: Shape): Value {
  if (sameShape(gradient.shape, shape)) return gradient
  const axes = stretchedAxes(shape, gradient.shape)
  const missing = gradient.shape.length - shape.length
  const summed = gradient.sum(axes, axes.length > missing)
  return axes.length > missing && missing > 0 ? summed.reshape(shape) : summed
}

function describe({ producer, dtype, shape }: Value): string {
  const name = producer.kind === 'node' ? `${producer.scope}/${producer.op}` : (producer.name ?? 'a constant')
  return `${name}: ${formatType({ dtype, shape })}`
}
