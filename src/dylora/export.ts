/** An adapter cut to one rank, for other tools: as an ordinary PEFT LoRA, or merged into the weights of its base. */
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errors } from '../errors.ts'
import { type Adapter, scalingOf, truncate } from './adapter.ts'
import { checkAgainstBase, writePeft } from './adapter-directory.ts'
import { type BaseModel, baseFiles } from './base-model.ts'
import { gpt2Tensors } from './gpt2-config.ts'
import { moduleKey, partsOf, targetedLinears } from './gpt2-linears.ts'
import { writeJsonFile } from './json-file.ts'
import { factorsOf } from './peft-layout.ts'
import { publishDirectory, replacementObstacle } from './publish.ts'
import { formatName } from './quantization.ts'
import { readTensor, type TensorSource, writeSafetensors } from './safetensors.ts'

/** Says what an exported directory was made of; only a directory that has it is replaced. Other tools ignore it. */
const exportFile = 'dylora_export.json'

/**
 * Publishes the cut to `rank` as an ordinary PEFT LoRA. Throws `rank_not_allowed`, or `adapter_invalid` when `directory`
 * holds something else than an export.
 */
export async function exportAdapter(adapter: Adapter, rank: number, directory: string): Promise<void> {
  await publishExport(adapter, rank, directory, (temporary) => writePeft(temporary, adapter, rank))
}

/**
 * Publishes a Hugging Face checkpoint whose weights are W + scaling * (BA)ᵀ at `rank` (GPT-2 stores [in, out]). Throws
 * `rank_not_allowed`, or `adapter_invalid` for another base and when `directory` holds something else than an export.
 */
export async function exportMerged(adapter: Adapter, base: BaseModel, rank: number, directory: string): Promise<void> {
  checkAgainstBase(adapter, base)
  if (base.quantization !== null) {
    throw errors.validation(
      `${base.name} is stored in ${formatName(base.quantization)}: expected the float32 base to merge into`,
    )
  }
  await publishExport(adapter, rank, directory, async (temporary) => {
    await writeSafetensors(join(temporary, baseFiles.weights), mergedTensors(adapter, base, rank), { format: 'pt' })
    for (const name of [baseFiles.config, baseFiles.generation, baseFiles.tokenizer]) {
      await copyFile(join(base.directory, name), join(temporary, name))
    }
  })
}

type Fill = (temporary: string) => Promise<void>

async function publishExport(adapter: Adapter, rank: number, directory: string, fill: Fill): Promise<void> {
  if (!adapter.ranks.includes(rank)) throw errors.rankNotAllowed(rank, adapter.ranks)
  const obstacle = await replacementObstacle(directory, exportFile)
  if (obstacle !== null) throw errors.adapterInvalid(adapter.name, `it cannot be exported to ${directory}: ${obstacle}`)
  const { name, digest, baseModel, baseDigest, loraAlpha, scaling, prompt } = adapter
  await publishDirectory(directory, async (temporary) => {
    await fill(temporary)
    // The prompt is here because neither PEFT nor a checkpoint has a place for it.
    const record = { adapter: name, digest, baseModel, baseDigest, rank, loraAlpha, scaling, prompt }
    await writeJsonFile(join(temporary, exportFile), record)
  })
}

/** Every tensor of the base by the names that `save_pretrained` gives them, one at a time in memory. */
function mergedTensors(adapter: Adapter, base: BaseModel, rank: number): TensorSource[] {
  const adapted = new Map<string, Target>()
  for (const target of targetedLinears(adapter.targetModules)) {
    for (let layer = 0; layer < base.config.layers; layer++) {
      adapted.set(`h.${layer}.${target.path}.weight`, { ...target, layer })
    }
  }
  return [...gpt2Tensors(base.config)].map(([name, shape]) => ({
    name: name.startsWith('lm_head.') ? name : `transformer.${name}`,
    shape,
    data: async () => {
      const weight = await readTensor(base.weights, name)
      const target = adapted.get(name)
      return target ? addProducts(weight, shape[1] ?? 0, target, adapter, rank) : weight
    },
  }))
}

type Target = ReturnType<typeof targetedLinears>[number] & { readonly layer: number }

/** `weight` [in, columns] plus the scaled product of each adapted part, in the part's columns; summed in float64. */
function addProducts(weight: Float32Array, columns: number, target: Target, adapter: Adapter, rank: number) {
  const sum = Float64Array.from(weight)
  const scaling = scalingOf(adapter, rank)
  const parts = partsOf(target.path)
  for (const part of target.adapted) {
    const { inFeatures, outFeatures, loraA, loraB } = truncate(
      factorsOf(adapter.factors, moduleKey(target.layer, part)),
      rank,
    )
    const firstColumn = parts.indexOf(part) * outFeatures
    for (let j = 0; j < rank; j++) {
      for (let i = 0; i < inFeatures; i++) {
        const scaled = scaling * (loraA[j * inFeatures + i] ?? 0)
        const start = i * columns + firstColumn
        for (let o = 0; o < outFeatures; o++) sum[start + o]! += scaled * (loraB[j * outFeatures + o] ?? 0)
      }
    }
  }
  return Float32Array.from(sum)
}
