/** The metrics, one row each. A row turns every instance into counts and counts into a score, so that bootstrap is cheap. */
import { bleu, multiBleu, multiBleuDetok, sacrebleu } from './bleu.ts'
import { chrf, chrfPlusPlus, chrfPlusPlusPy } from './chrf.ts'
import { cider } from './cider.ts'
import { meteor, meteorText } from './meteor.ts'
import type { Metric } from './metric.ts'
import { nist, nistPerl } from './nist.ts'
import { rougeL } from './rouge-l.ts'
import { ter } from './ter.ts'
import { terPyter } from './ter-pyter.ts'

export const metrics = {
  bleu,
  multi_bleu: multiBleu,
  multi_bleu_detok: multiBleuDetok,
  sacrebleu,
  nist,
  nist_perl: nistPerl,
  meteor,
  meteor_text: meteorText,
  rouge_l: rougeL,
  cider,
  ter,
  ter_pyter: terPyter,
  chrf,
  chrf_plus_plus: chrfPlusPlus,
  chrf_plus_plus_py: chrfPlusPlusPy,
} as const satisfies Record<string, Metric>

export type MetricName = keyof typeof metrics

/** The corpus score. Hypotheses and reference groups go by index. */
export function score(
  metric: Metric,
  hypotheses: readonly string[],
  references: readonly (readonly string[])[],
): number {
  return metric.combine(sumCounts(countsOf(metric, hypotheses, references)))
}

/** The instances' counts, once it is sure that every hypothesis has its references. */
export function countsOf(
  metric: Metric,
  hypotheses: readonly string[],
  references: readonly (readonly string[])[],
): Float64Array[] {
  if (hypotheses.length !== references.length || hypotheses.length === 0) {
    throw new RangeError(
      `Expected as many hypotheses as reference groups, got ${hypotheses.length} and ${references.length}`,
    )
  }
  const bare = references.findIndex((group) => group.length === 0)
  if (bare >= 0) throw new RangeError(`Expected at least one reference for hypothesis ${bare + 1}, got none`)
  return metric.instances(hypotheses, references)
}

/** The sum of some instances' counts; all of them where no indices are given. */
export function sumCounts(counts: readonly Float64Array[], indices?: Uint32Array): Float64Array {
  const sum = new Float64Array(counts[0]?.length ?? 0)
  const add = (row: Float64Array) => {
    for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (row[i] as number)
  }
  if (indices === undefined) for (const row of counts) add(row)
  else for (const index of indices) add(counts[index] as Float64Array)
  return sum
}
