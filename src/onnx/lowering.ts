/** Ops of the language that ONNX Runtime does not have, or not for a type, written in ops that it has. */
import { constant, type Node, Value } from './graph.ts'
import type { Attributes, Op, Ops } from './ops.ts'
import { topologicalOrder } from './traversal.ts'

/** Values that replace a node's outputs, or null where the runtime has the op as it is. */
type Lowering<O extends Op> = (inputs: Ops<Value>[O]['inputs'], attributes: Attributes<O>) => readonly Value[] | null

/** erf(x) = 2/√π · e^(-x²) · Σ 2ⁿ x^(2n+1) / (2n+1)!! (DLMF 7.6.2), to double precision for |x| up to 3. */
function erfSeries(x: Value): Value {
  const terms = 60
  const square = x.mul(x)
  let nested: Value = square.mul(2 / (2 * terms + 1)).add(1)
  for (let n = terms - 1; n >= 1; n--)
    nested = nested
      .mul(square)
      .mul(2 / (2 * n + 1))
      .add(1)
  return square
    .neg()
    .exp()
    .mul(x)
    .mul(nested)
    .mul(2 / Math.sqrt(Math.PI))
}

const lowerings: { readonly [O in Op]?: Lowering<O> } = {
  // The runtime's statistics are float32 always, so float64 (gradient checks) needs the definition.
  LayerNormalization: ([x, scale, bias], { epsilon }) => {
    if (x.dtype !== 'float64') return null
    const mean = x.mean([-1], true)
    const centred = x.sub(mean)
    const standardDeviation = centred.mul(centred).mean([-1], true).add(epsilon).sqrt()
    return [centred.div(standardDeviation).mul(scale).add(bias), mean, constant(1, x.dtype).div(standardDeviation)]
  },
  // The runtime has neither of these for float64.
  Erf: ([x]) => (x.dtype === 'float64' ? [erfSeries(x)] : null),
  Gelu: ([x], { approximate }) =>
    x.dtype === 'float64' && approximate === 'none' ? [erfSeries(x.mul(Math.SQRT1_2)).add(1).mul(x).mul(0.5)] : null,
  SoftmaxCrossEntropy: ([logits, targets, weights], { labelSmoothing }) => {
    const logProbabilities = logits.logSoftmax()
    const onTarget = logProbabilities.gatherElements(targets.unsqueeze(-1), 1)
    const smoothed =
      labelSmoothing === 0
        ? onTarget
        : onTarget.mul(1 - labelSmoothing).add(logProbabilities.mean([-1], true).mul(labelSmoothing))
    return [smoothed.mul(weights).sum([0, 1]).neg()]
  },
}

/** The same outputs over ops that the runtime has. */
export function lower(outputs: readonly Value[]): Value[] {
  const replaced = new Map<Node, readonly Value[]>()
  const current = (value: Value): Value =>
    (value.producer.kind === 'node' ? replaced.get(value.producer)?.[value.index] : undefined) ?? value
  for (const node of topologicalOrder(outputs)) {
    const inputs = node.inputs.map(current)
    const lowered = (lowerings[node.op] as Lowering<Op> | undefined)?.(inputs as never, node.attributes as never)
    if (lowered) replaced.set(node, lowered)
    else if (inputs.some((value, i) => value !== node.inputs[i])) replaced.set(node, rebuilt(node, inputs))
  }
  return outputs.map(current)
}

function rebuilt(node: Node, inputs: readonly Value[]): Value[] {
  const copy: Node = { ...node, inputs }
  return node.types.map((type, index) => new Value(copy, index, type))
}
