/** The two tensors of each adapted linear layer, found by their names, checked before and after their values are read. */
import { isLinearPath, type LinearPath } from './gpt2-linears.ts'
import type { StoredTensor, StoredTensors } from './stored-tensors.ts'

type Fail = (reason: string) => Error

interface NamedTensor extends StoredTensor {
  readonly name: string
}

/** LoRA of one linear layer: `a` is [ranks, inputs], `b` is [outputs, ranks]. */
export interface FactorPair {
  readonly layer: number
  readonly path: LinearPath
  readonly a: NamedTensor
  readonly b: NamedTensor
}

/** How names of other models start, for a refusal that says what they are. */
const otherArchitectures: Readonly<Record<string, string>> = {
  roberta: 'RoBERTa',
  bert: 'BERT',
  deberta: 'DeBERTa',
  distilbert: 'DistilBERT',
  'model.layers': 'a model like LLaMA',
  'model.decoder': 'OPT',
  gpt_neox: 'GPT-NeoX',
}

/**
 * Pairs the tensors up. `pattern` captures the layer, the path of the linear layer in it, and the half, A or B; `prefix`
 * is what every name may start with. A name that is no factor of GPT-2, a missing half or a shape that is no matrix is
 * refused.
 */
export function pairFactors(tensors: StoredTensors, pattern: RegExp, prefix: RegExp, fail: Fail): FactorPair[] {
  const pairs = new Map<string, { layer: number; path: LinearPath; A?: NamedTensor; B?: NamedTensor }>()
  for (const [name, tensor] of tensors) {
    const [, layer, path, half] = pattern.exec(name) ?? []
    if (!isLinearPath(path)) throw fail(strangerText(name, name.replace(prefix, '')))
    const place = `${Number(layer)} ${path}`
    const pair = pairs.get(place) ?? { layer: Number(layer), path }
    if (half === 'A' ? pair.A : pair.B) throw fail(`tensor '${name}' is there twice`)
    pairs.set(place, { ...pair, [half ?? '']: checkMatrix({ ...tensor, name }, fail) })
  }
  if (pairs.size === 0) throw fail('there are no factors in it')
  return [...pairs.values()].map(({ layer, path, A: a, B: b }) => {
    if (a && b) return { layer, path, a, b }
    throw fail(`tensor '${(a ?? b)?.name.replace(/lora_[AB]/, a ? 'lora_B' : 'lora_A')}' is missing`)
  })
}

function strangerText(name: string, inModel: string): string {
  const other = Object.entries(otherArchitectures).find(([start]) => inModel.startsWith(`${start}.`))
  if (other) return `tensor '${name}' is of ${other[1]}, and only GPT-2 is implemented`
  return `tensor '${name}' belongs to no known target module`
}

function checkMatrix(tensor: NamedTensor, fail: Fail): NamedTensor {
  const { name, shape, dtype, isFloat } = tensor
  if (!isFloat) throw fail(`tensor '${name}': expected a floating dtype, got ${dtype}`)
  if (shape.length !== 2 || shape.includes(0)) throw fail(`tensor '${name}': expected a matrix, got [${shape}]`)
  return tensor
}

/** The values of a tensor, all of them finite. */
export async function readFinite({ name, read }: NamedTensor, fail: Fail): Promise<Float32Array> {
  const values = await read()
  const bad = values.findIndex((value) => !Number.isFinite(value))
  if (bad >= 0) throw fail(`tensor '${name}': expected finite values, got ${values[bad]} at ${bad}`)
  return values
}
