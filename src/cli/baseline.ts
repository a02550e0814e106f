/** `dylora baseline`: puts what LoRAs trained for one rank each reach beside an adapter's curve, as its yardstick. */
import { type ParseArgsConfig, parseArgs } from 'node:util'
import type { Adapter, QualityPoint } from '../dylora/adapter.ts'
import { readAdapter } from '../dylora/adapter-directory.ts'
import { errors } from '../errors.ts'
import { publishMeasured } from './evaluation-outputs.ts'

const options = {
  help: { type: 'boolean' },
  adapter: { type: 'string' },
  lora: { type: 'string', multiple: true },
} as const satisfies ParseArgsConfig['options']

const help = `Usage: dylora baseline --adapter <dir> --lora <dir> [--lora <dir> ...]

  --adapter  Adapter whose curve is to be compared
  --lora     Adapter of method lora, measured by \`dylora evaluate\` on the same data; once for each rank

What each LoRA was measured with, and the adapter was too, stands in dylora.json under "baselines" afterwards, in
place of what was there. The page shows it as points beside the curve.`

export async function run(args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options })
  if (values.help) {
    console.log(help)
    return 0
  }
  const { adapter: directory, lora = [] } = values
  if (directory === undefined || lora.length === 0) throw errors.validation('expected --adapter and --lora; see --help')
  const { name: _name, digest: _digest, ...content } = await readAdapter(directory)
  const baselines = (await Promise.all(lora.map(readAdapter))).flatMap((one) => baselineOf(content, one))
  await publishMeasured(directory, { ...content, baselines }, { texts: [], decoding: undefined }, undefined)
  for (const { rank, dataset, split, metric, value } of baselines)
    console.log(`rank ${rank}  ${dataset} ${split}  ${metric}  ${value}`)
  return 0
}

type Curve = Pick<Adapter, 'baseDigest' | 'baseModel' | 'quality'>

/** The LoRA's points at its own rank that have a counterpart in the curve. Throws adapter_invalid for what cannot be compared. */
export function baselineOf(curve: Curve, lora: Adapter): NonNullable<Adapter['baselines']>[number][] {
  const fail = (reason: string) => errors.adapterInvalid(lora.name, reason)
  if (lora.method !== 'lora') throw fail(`expected a LoRA of one rank, got method ${lora.method}`)
  if (lora.baseDigest !== curve.baseDigest) {
    throw fail(`expected base ${curve.baseModel} ${curve.baseDigest}, got ${lora.baseModel} ${lora.baseDigest}`)
  }
  const measured = new Set(curve.quality.map(placeOf))
  const points = lora.quality.filter((point) => point.rank === lora.maxRank && measured.has(placeOf(point)))
  if (points.length === 0)
    throw fail('it was measured on nothing that the adapter was measured on: see dylora evaluate')
  return points.map((point) => ({ ...point, method: 'lora' as const, primary: false }))
}

const placeOf = ({ dataset, split, metric, decoding, n }: QualityPoint): string =>
  JSON.stringify([dataset, split, metric, decoding, n])
