/**
 * Checkpoints of loralib's GPT-2 (microsoft/LoRA, examples/NLG), which is also how DyLoRA's are laid out: a fused layer's
 * `lora_A` is [groups * r, in] and `lora_B` [groups * out, r], one group for each adapted part. So a cut is a cut of each
 * group. Neither alpha nor which parts the groups are is in the file.
 */
import { errors } from '../errors.ts'
import type { LoraFactors, ModuleKey, TargetModule } from './adapter.ts'
import type { AdapterContent } from './adapter-directory.ts'
import { type BaseModel, readWeight } from './base-model.ts'
import { type FactorPair, pairFactors, readFinite } from './factor-tensors.ts'
import { gpt2Tensors, moduleFeatures } from './gpt2-config.ts'
import { moduleKey, partsOf } from './gpt2-linears.ts'
import { cutBlock } from './peft-layout.ts'
import type { StoredTensors } from './stored-tensors.ts'

type Fail = (reason: string) => Error

export interface LoralibOptions {
  /** Was every rank trained (the default), or the highest only? */
  readonly method?: 'dylora' | 'lora' | undefined
  readonly alpha?: number | undefined
  /** Which parts the groups of a fused layer are; where there are two, q and v unless given, as the authors have it. */
  readonly targetModules?: readonly TargetModule[] | undefined
}

const factorName = /^(?:module\.)?(?:transformer\.)?h\.(\d+)\.([a-z_.]+)\.lora_(A|B)$/
const wrapper = /^module\./

/** The factors, scaled alpha/b in both methods (a LoRA's only b is its r). Reads no value before every shape has been checked. */
export async function fromLoralib(
  tensors: StoredTensors,
  base: BaseModel,
  options: LoralibOptions,
  fail: Fail,
): Promise<
  Pick<AdapterContent, 'method' | 'ranks' | 'maxRank' | 'loraAlpha' | 'scaling' | 'targetModules' | 'factors'>
> {
  const [factorTensors, others] = divide(tensors)
  const pairs = pairFactors(factorTensors, factorName, wrapper, fail)
  const layouts = pairs.map((pair) => layoutOf(pair, base, options.targetModules, fail))
  const maxRank = checkTogether(layouts, options.targetModules, fail)
  const { method = 'dylora', alpha } = options
  if (alpha === undefined) throw errors.validation('alpha: expected that of the training, which the file does not hold')
  await checkBaseWeights(others, base, fail)
  const factors = new Map<ModuleKey, LoraFactors>()
  for (const layout of layouts) {
    for (const [key, value] of await readGroups(layout, fail)) factors.set(key, value)
  }
  return {
    method,
    ranks: method === 'lora' ? [maxRank] : Array.from({ length: maxRank }, (_, i) => i + 1),
    maxRank,
    loraAlpha: alpha,
    scaling: 'alpha/b',
    targetModules: [...new Set(layouts.flatMap(({ modules }) => modules))],
    factors,
  }
}

/** The factors, and all else that a whole model's checkpoint holds. */
function divide(tensors: StoredTensors): [StoredTensors, StoredTensors] {
  const isFactor = ([name]: readonly [string, unknown]) => name.includes('lora_')
  return [new Map([...tensors].filter(isFactor)), new Map([...tensors].filter((entry) => !isFactor(entry)))]
}

/** How the tensors of one linear layer divide into modules. */
interface Layout {
  readonly pair: FactorPair
  readonly modules: readonly TargetModule[]
  readonly rank: number
  /** Do all modules share the rows of A, as where the fused layer is adapted as one? */
  readonly shared: boolean
  readonly outFeatures: number
}

function layoutOf(pair: FactorPair, base: BaseModel, chosen: readonly TargetModule[] | undefined, fail: Fail): Layout {
  const { layer, path, a, b } = pair
  const parts = partsOf(path)
  const { inFeatures, outFeatures } = moduleFeatures(base.config)[parts[0] ?? 'q_proj']
  const [[rowsOfA = 0, columnsOfA], [rowsOfB = 0, rank = 0]] = [a.shape, b.shape]
  if (layer >= base.config.layers) throw fail(`tensor '${a.name}': the base has ${base.config.layers} layers`)
  if (columnsOfA !== inFeatures) throw fail(`tensor '${a.name}': expected [.., ${inFeatures}], got [${a.shape}]`)
  const groups = rowsOfB / outFeatures
  if (!Number.isInteger(groups) || groups > parts.length) {
    throw fail(`tensor '${b.name}': expected 1 to ${parts.length} groups of ${outFeatures} rows, got [${b.shape}]`)
  }
  const shared = groups === parts.length && rowsOfA === rank
  if (!shared && rowsOfA !== groups * rank) {
    throw fail(`tensor '${a.name}': expected [${groups * rank},${inFeatures}] to go with its lora_B, got [${a.shape}]`)
  }
  return { pair, modules: groupModules(pair, groups, chosen, fail), rank, shared, outFeatures }
}

function groupModules(
  { path, b }: FactorPair,
  groups: number,
  chosen: readonly TargetModule[] | undefined,
  fail: Fail,
): readonly TargetModule[] {
  const parts = partsOf(path)
  if (groups === parts.length) return parts
  // The authors' enable_lora=[True, False, True].
  const usual = groups === 2 ? (['q_proj', 'v_proj'] as const) : []
  const modules = parts.filter((part) => (chosen ?? usual).includes(part))
  if (modules.length === groups) return modules
  const asked = chosen ? `, and the target modules ${chosen.join(', ')} name ${modules.length}` : ''
  throw fail(`tensor '${b.name}' adapts ${groups} of ${parts.join(', ')}${asked}: say which by the target modules`)
}

/** The one rank of all; the modules must be those asked for. */
function checkTogether(layouts: readonly Layout[], chosen: readonly TargetModule[] | undefined, fail: Fail): number {
  const rank = layouts[0]?.rank ?? 0
  const other = layouts.find((layout) => layout.rank !== rank)
  if (other) throw fail(`tensor '${other.pair.b.name}': expected rank ${rank} as in the others, got ${other.rank}`)
  const modules = new Set(layouts.flatMap((layout) => layout.modules))
  if (chosen && (chosen.length !== modules.size || !chosen.every((module) => modules.has(module)))) {
    throw fail(`it adapts ${[...modules].join(', ')}, and the target modules asked for are ${chosen.join(', ')}`)
  }
  return rank
}

async function readGroups({ pair, modules, rank, shared, outFeatures }: Layout, fail: Fail) {
  const [a, b] = [await readFinite(pair.a, fail), await readFinite(pair.b, fail)]
  const inFeatures = pair.a.shape[1] ?? 0
  return modules.map((module, group) => {
    const firstRow = shared ? 0 : group * rank
    const rowsOfA = a.subarray(firstRow * inFeatures, (firstRow + rank) * inFeatures)
    const linear = { ...pair, a: rowsOfA, b, rank, inFeatures, outFeatures: b.length / rank }
    const factors = cutBlock(linear, { firstOutput: group * outFeatures, outFeatures, firstRank: 0, rank })
    return [moduleKey(pair.layer, module), factors] as const
  })
}

/** Half precision moves a weight by up to 2^-11 of itself; training moves it further. */
const sameWeights = 1e-3

/**
 * A checkpoint of the whole model holds the frozen weights too. They must be the base's: others mean another base, weights
 * with the factors merged in, or biases that were trained as well, none of which an adapter can hold.
 */
async function checkBaseWeights(others: StoredTensors, base: BaseModel, fail: Fail): Promise<void> {
  const expected = gpt2Tensors(base.config)
  for (const [name, tensor] of others) {
    const own = baseName(name, base)
    if (own === null) continue
    const shape = expected.get(own)
    if (!shape) throw fail(`tensor '${name}' is neither a factor nor a weight of the base`)
    if (`${shape}` !== `${tensor.shape}`) throw fail(`tensor '${name}': expected [${shape}], got [${tensor.shape}]`)
    const [values, weights] = [await readFinite({ ...tensor, name }, fail), await readWeight(base, own)]
    const distance = relativeDistance(values, weights)
    if (distance > sameWeights) {
      throw fail(`tensor '${name}' differs from the base's (by ${distance.toExponential(1)} of its norm): another base, \
merged factors or a trained weight`)
    }
  }
}

/** The base's name of a weight; null for the buffers that hold the causal mask. */
function baseName(name: string, base: BaseModel): string | null {
  const own = name.replace(wrapper, '').replace(/^transformer\./, '')
  if (/^h\.\d+\.attn\.(masked_)?bias$/.test(own)) return null
  if (!/^lm_head\.(decoder\.)?weight$/.test(own)) return own
  return base.config.tiedHead ? 'wte.weight' : 'lm_head.weight'
}

function relativeDistance(values: Float32Array, weights: Float32Array): number {
  let [difference, norm] = [0, 0]
  for (const [i, weight] of weights.entries()) {
    difference += ((values[i] ?? 0) - weight) ** 2
    norm += weight ** 2
  }
  return Math.sqrt(difference) / Math.max(Math.sqrt(norm), Number.MIN_VALUE)
}
