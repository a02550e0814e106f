/** `dylora export`: the cut of an adapter to one rank becomes an ordinary PEFT LoRA. */
import { parseArgs } from 'node:util'
import { exportAdapter, readAdapter } from '../dylora/adapter-directory.ts'
import { errors } from '../errors.ts'

export const summary = 'export --adapter <directory> --rank <b> --out <directory>   write an adapter cut to one rank'

const options = { adapter: { type: 'string' }, rank: { type: 'string' }, out: { type: 'string' } } as const

export async function run(args: string[]): Promise<number> {
  const { adapter: source, rank, out } = parseArgs({ args, options }).values
  if (!source || !rank || !out) throw errors.validation(`Usage: dylora ${summary}`)
  const adapter = await readAdapter(source)
  if (!/^\d+$/.test(rank)) throw errors.rankNotAllowed(rank, adapter.ranks)
  await exportAdapter(adapter, Number(rank), out)
  console.log(`Wrote rank ${rank} of ${adapter.name} to ${out} as a PEFT LoRA`)
  return 0
}
