/** `dylora import`: a Hugging Face checkpoint directory becomes a base model directory. */
import { parseArgs } from 'node:util'
import { importCheckpoint } from '../dylora/import.ts'
import { errors } from '../errors.ts'

export const summary = 'import <checkpoint directory> --out <base directory>   import a Hugging Face GPT-2 checkpoint'

export async function run(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({ args, options: { out: { type: 'string' } }, allowPositionals: true })
  const [source, ...rest] = positionals
  if (source === undefined || rest.length > 0 || !values.out) throw errors.validation(`Usage: dylora ${summary}`)
  const { base, notes } = await importCheckpoint(source, values.out)
  for (const note of notes) console.log(note)
  console.log(`Imported ${source} to ${base.directory} (${base.digest})`)
  return 0
}
