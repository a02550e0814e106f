/** `dylora import`: a Hugging Face checkpoint directory becomes a base model directory. */
import { parseArgs } from 'node:util'
import { importCheckpoint } from '../dylora/import.ts'
import { errors } from '../errors.ts'

const usage = `Usage: dylora import <checkpoint directory> --out <base directory>

Reads a Hugging Face GPT-2 checkpoint (config.json, *.safetensors, tokenizer.json) and writes a base model directory.`

const options = { out: { type: 'string' }, help: { type: 'boolean' } } as const

export async function run(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true })
  if (values.help) return tell(usage)
  const [source, ...rest] = positionals
  if (source === undefined || rest.length > 0 || !values.out) throw errors.validation(usage)
  const { base, notes } = await importCheckpoint(source, values.out)
  return tell(...notes, `Imported ${source} to ${base.directory} (${base.digest})`)
}

function tell(...lines: readonly string[]): number {
  for (const line of lines) console.log(line)
  return 0
}
