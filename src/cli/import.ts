/** `dylora import`: a Hugging Face checkpoint becomes a base model, a LoRA trained elsewhere an adapter. */
import { parseArgs } from 'node:util'
import { loadConfig } from '../config.ts'
import { type TargetModule, targetModules } from '../dylora/adapter.ts'
import { readBaseModel } from '../dylora/base-model.ts'
import { importCheckpoint } from '../dylora/import.ts'
import { importLora } from '../dylora/lora-import.ts'
import {
  blockSizes,
  formatName,
  type Quantization,
  type QuantizationFormat,
  quantizationFormats,
} from '../dylora/quantization.ts'
import { errors } from '../errors.ts'
import { sourceDirectory } from './hub.ts'

const usage = `Usage: dylora import <checkpoint directory or hub id> --out <base directory> [--quantize int8|int4 [--block-size 32]]
       dylora import --lora <directory, file or hub id> --base <base directory> --out <adapter directory> [options]

The first reads a Hugging Face GPT-2 checkpoint (config.json, *.safetensors, tokenizer.json) and writes a base model. An
ONNX export (model.onnx in place of safetensors, as Optimum writes it) gives its weights too, unless it was optimised or
quantised. A hub id is org/name or org/name@revision: its files are fetched once, into CACHE_DIR (HF_TOKEN, HF_ENDPOINT).

  --quantize        store the matrices of layers and head in 8 or 4 bits; adapters of the float32 base fit it
  --block-size      inputs that share a scale: 32, 64 or 128 (32)

The second reads a LoRA of that base and writes an adapter, without running any of what is in it:
  - the directory of a PEFT LoRA (adapter_config.json with adapter_model.safetensors or .bin), which serves its own rank;
  - a checkpoint with loralib's names, as LoRA's and DyLoRA's own code writes (.pt, .bin, .ckpt or .safetensors).

  --alpha           loralib: lora_alpha of the training, which the file does not hold
  --method          loralib: dylora, for every rank up to r (the default), or lora, for r alone
  --target-modules  loralib: which modules the groups of c_attn are (q_proj,v_proj where there are two)
  --prompt-prefix   token ids before the context in the training, such as 1,2 (none)
  --prompt-suffix   token ids after it (none); LoRA's own GPT-2 runs have 50256`

const options = {
  out: { type: 'string' },
  lora: { type: 'string' },
  base: { type: 'string' },
  alpha: { type: 'string' },
  method: { type: 'string' },
  'target-modules': { type: 'string' },
  'prompt-prefix': { type: 'string' },
  'prompt-suffix': { type: 'string' },
  quantize: { type: 'string' },
  'block-size': { type: 'string' },
  help: { type: 'boolean' },
} as const

type Values = ReturnType<typeof parseArgs<{ options: typeof options }>>['values']

export async function run(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true })
  if (values.help) return tell(usage)
  if (values.lora !== undefined) return runLora(values, positionals)
  const ofCheckpoints = ['out', 'quantize', 'block-size']
  const stray = Object.keys(values).find((name) => !ofCheckpoints.includes(name))
  if (stray !== undefined) throw errors.validation(`--${stray}: expected --lora as well`)
  const [source, ...rest] = positionals
  if (source === undefined || rest.length > 0 || !values.out) throw errors.validation(usage)
  const quantization = quantizationOf(values)
  const directory = await here(source, 'base')
  const { base, notes } = await importCheckpoint(directory, values.out, quantization)
  const stored = quantization === undefined ? '' : ` in ${formatName(quantization)}`
  return tell(...notes, `Imported ${source} to ${base.directory}${stored} (${base.digest})`)
}

const here = (source: string, kind: 'base' | 'adapter'): Promise<string> =>
  sourceDirectory(source, kind, loadConfig(process.env), (line) => console.log(line))

function quantizationOf({ quantize, 'block-size': blockSize = '32' }: Values): Quantization | undefined {
  if (quantize === undefined) return undefined
  if (!Object.hasOwn(quantizationFormats, quantize)) {
    throw errors.validation(`--quantize: expected ${Object.keys(quantizationFormats).join(' or ')}, got '${quantize}'`)
  }
  const size = blockSizes.find((known) => String(known) === blockSize)
  if (size === undefined) throw errors.validation(`--block-size: expected ${blockSizes.join(', ')}, got '${blockSize}'`)
  return { bits: quantizationFormats[quantize as QuantizationFormat], blockSize: size }
}

async function runLora(values: Values, positionals: readonly string[]): Promise<number> {
  const { lora, base, out } = values
  if (values.quantize !== undefined) throw errors.validation('--quantize: expected a checkpoint of a base, not a LoRA')
  if (!lora || !base || !out || positionals.length > 0) throw errors.validation(usage)
  const loralib = {
    alpha: values.alpha === undefined ? undefined : positive('alpha', values.alpha),
    method: methodOf(values.method),
    targetModules: values['target-modules'] === undefined ? undefined : modulesOf(values['target-modules']),
  }
  const prompt = { prefix: tokenIds(values, 'prompt-prefix'), suffix: tokenIds(values, 'prompt-suffix') }
  const adapter = await importLora(await here(lora, 'adapter'), await readBaseModel(base), out, { loralib, prompt })
  const { ranks, targetModules: modules, digest } = adapter
  return tell(`Imported ${lora} to ${out}: rank ${ranks.join(', ')} of ${modules.join(', ')} (${digest})`)
}

function positive(name: string, text: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text)
  if (value > 0 && Number.isFinite(value)) return value
  throw errors.validation(`--${name}: expected a positive number, got '${text}'`)
}

function methodOf(text: string | undefined): 'dylora' | 'lora' | undefined {
  if (text === undefined || text === 'dylora' || text === 'lora') return text
  throw errors.validation(`--method: expected dylora or lora, got '${text}'`)
}

function modulesOf(text: string): TargetModule[] {
  return text.split(',').map((name) => {
    const module = targetModules.find((known) => known === name)
    if (module === undefined) {
      throw errors.validation(`--target-modules: expected names among ${targetModules.join(', ')}, got '${name}'`)
    }
    return module
  })
}

function tokenIds(values: Values, name: 'prompt-prefix' | 'prompt-suffix'): number[] {
  const text = values[name]
  if (text === undefined || text === '') return []
  if (!/^\d+(,\d+)*$/.test(text)) throw errors.validation(`--${name}: expected token ids such as 1,2, got '${text}'`)
  return text.split(',').map(Number)
}

function tell(...lines: readonly string[]): number {
  for (const line of lines) console.log(line)
  return 0
}
