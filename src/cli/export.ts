/** `dylora export`: the cut of an adapter to one rank becomes an ordinary PEFT LoRA, or a merged checkpoint. */
import { parseArgs } from 'node:util'
import type { Adapter } from '../dylora/adapter.ts'
import { checkAgainstBase, readAdapter } from '../dylora/adapter-directory.ts'
import { readBaseModel } from '../dylora/base-model.ts'
import { exportAdapter, exportMerged } from '../dylora/export.ts'
import { errors } from '../errors.ts'

const usage = `Usage: dylora export --adapter <directory> --rank <b> --out <directory>
       dylora export --adapter <directory> --rank <b> --base <base directory> --merge --out <directory>

Writes the adapter cut to rank b, one of its trained ranks, as a LoRA that PEFT loads.

  --merge   write a whole Hugging Face checkpoint instead, with the cut merged into the weights of --base
  --base    the base model; without --merge it is only checked that the adapter belongs to it

An --out that is there already is replaced if it is an earlier export, and refused if it is anything else.`

const options = {
  adapter: { type: 'string' },
  rank: { type: 'string' },
  out: { type: 'string' },
  base: { type: 'string' },
  merge: { type: 'boolean', default: false },
  help: { type: 'boolean' },
} as const

export async function run(args: string[]): Promise<number> {
  const { adapter: source, rank, out, base: baseDirectory, merge, help } = parseArgs({ args, options }).values
  if (help) return tell(usage)
  if (!source || !rank || !out) throw errors.validation(usage)
  if (merge && baseDirectory === undefined) throw errors.validation('--merge: expected --base as well')
  const adapter = await readAdapter(source)
  if (!/^\d+$/.test(rank)) throw errors.rankNotAllowed(rank, adapter.ranks)
  const base = baseDirectory === undefined ? null : await readBaseModel(baseDirectory)
  if (base) checkAgainstBase(adapter, base)
  if (merge && base) await exportMerged(adapter, base, Number(rank), out)
  else await exportAdapter(adapter, Number(rank), out)
  const kind = merge ? 'a merged checkpoint' : 'a PEFT LoRA'
  return tell(`Wrote rank ${rank} of ${adapter.name} to ${out} as ${kind}`, ...promptNote(adapter))
}

/** Other tools do not add the prompt by themselves. */
function promptNote({ prompt: { prefix, suffix } }: Adapter): string[] {
  const tokens = (ids: readonly number[]) => (ids.length === 0 ? 'nothing' : `token ids ${ids.join(' ')}`)
  if (prefix.length + suffix.length === 0) return []
  return [`It was trained with ${tokens(prefix)} before and ${tokens(suffix)} after the context: add them to its input`]
}

function tell(...lines: readonly string[]): number {
  for (const line of lines) console.log(line)
  return 0
}
