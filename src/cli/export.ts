/** `dylora export`: the cut of an adapter to one rank becomes an ordinary PEFT LoRA. */
import { parseArgs } from 'node:util'
import { exportAdapter, readAdapter } from '../dylora/adapter-directory.ts'
import { errors } from '../errors.ts'

const usage = `Usage: dylora export --adapter <directory> --rank <b> --out <directory>

Writes the adapter cut to rank b, one of its trained ranks, as a LoRA that PEFT loads.`

const options = {
  adapter: { type: 'string' },
  rank: { type: 'string' },
  out: { type: 'string' },
  help: { type: 'boolean' },
} as const

export async function run(args: string[]): Promise<number> {
  const { adapter: source, rank, out, help } = parseArgs({ args, options }).values
  if (help) return tell(usage)
  if (!source || !rank || !out) throw errors.validation(usage)
  const adapter = await readAdapter(source)
  if (!/^\d+$/.test(rank)) throw errors.rankNotAllowed(rank, adapter.ranks)
  await exportAdapter(adapter, Number(rank), out)
  return tell(`Wrote rank ${rank} of ${adapter.name} to ${out} as a PEFT LoRA`)
}

function tell(line: string): number {
  console.log(line)
  return 0
}
