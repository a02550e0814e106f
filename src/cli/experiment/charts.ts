/** The charts of a report: which there are, what they show, and what they say in words. */
import { costSpec, curveSpec, draw, type Price, type Series } from './chart-drawing.ts'
import type { PlanName } from './plan.ts'
import type { Figure } from './report.ts'
import type { Measured, Results } from './results.ts'
import { type ArmSummary, armsOf, auracOf, costOf, curveOf } from './summary.ts'

/** A figure with its drawing. */
export interface Chart extends Figure {
  readonly svg: string
}

interface Draft {
  readonly name: string
  readonly title: string
  /** Which arms it shows. */
  readonly shows: (arm: ArmSummary) => boolean
  /** It is drawn when there are so many. */
  readonly least: number
  readonly quantity: keyof typeof quantities
}

/** LoRA is in every one: all else is compared with it. */
const drafts: readonly Draft[] = [
  {
    name: 'quality',
    title: 'BLEU on the test set, by rank',
    shows: ({ arm, family }) => arm === 'dylora' || ['lora', 'recipe', 'full'].includes(family),
    least: 2,
    quantity: 'bleu',
  },
  {
    name: 'loss',
    title: 'Validation loss, by rank',
    shows: ({ arm, family }) => arm === 'dylora' || ['lora', 'recipe', 'full'].includes(family),
    least: 2,
    quantity: 'loss',
  },
  {
    name: 'cuts',
    title: 'BLEU of a LoRA that was cut, by rank',
    shows: ({ family }) => ['lora', 'cut', 'recipe'].includes(family),
    least: 3,
    quantity: 'bleu',
  },
  {
    name: 'ablations',
    title: 'BLEU of the variants of DyLoRA, by rank',
    shows: ({ family }) => ['lora', 'dylora'].includes(family),
    least: 3,
    quantity: 'bleu',
  },
]

export async function charts(results: Results, plan: PlanName): Promise<Chart[]> {
  const drawn = await Promise.all(drafts.map((draft) => qualityChart(results, plan, draft)))
  return [...drawn, await costChart(results, plan)].filter((chart) => chart !== null)
}

/** How a quantity is read, called and rounded. */
const quantities = {
  bleu: { of: ({ metrics }: Measured) => metrics.bleu ?? Number.NaN, title: 'BLEU', digits: 1 },
  loss: { of: ({ loss }: Measured) => loss, title: 'nats per token', digits: 3 },
} as const

async function qualityChart(results: Results, plan: PlanName, draft: Draft): Promise<Chart | null> {
  const { of, title, digits } = quantities[draft.quantity]
  const series = armsOf(results, plan)
    .filter(draft.shows)
    .map(({ arm, label }): Series => ({ arm, label: plain(label), curve: curveOf(results, plan, arm, of) }))
  if (series.length < draft.least) return null
  return {
    file: `${plan}-${draft.name}.svg`,
    alt: `${draft.title}: ${series.map((one) => described(one, digits)).join('; ')}`,
    svg: await draw(curveSpec(series, title, plan === 'wide'), draft.title),
  }
}

/** A label without the marks of Markdown. */
const plain = (label: string): string => label.replaceAll('`', '')

/** `DyLoRA from 60.1 at rank 1 to 62.3 at rank 8`. */
function described({ label, curve }: Series, digits: number): string {
  const [first, last] = [curve[0], curve.at(-1)]
  if (first === undefined || last === undefined) return label
  if (curve.length === 1) return `${label} ${first.mean.toFixed(digits)}`
  return `${label} from ${first.mean.toFixed(digits)} at rank ${first.rank} to ${last.mean.toFixed(digits)} at rank ${last.rank}`
}

/** What it costs to have an arm at all of its ranks, and what it is worth. */
async function costChart(results: Results, plan: PlanName): Promise<Chart | null> {
  const arms = armsOf(results, plan).filter(({ family }) => family !== 'candidate')
  const prices = arms.flatMap((arm): Price[] => {
    const found = costOf(results, plan, arm)
    const area = auracOf(results, plan, arm.arm, quantities.bleu.of)
    return found === null || area === null
      ? []
      : [{ arm: arm.arm, label: plain(arm.label), teraFlops: found.cost.flops / 1e12, area }]
  })
  if (prices.length < 2) return null
  const title = 'Cost of all ranks against their quality'
  const words = prices.map(
    ({ label, teraFlops, area }) => `${label} ${teraFlops.toPrecision(3)} TFLOP for ${area.toFixed(1)}`,
  )
  return {
    file: `${plan}-cost.svg`,
    alt: `${title} (AURAC of BLEU): ${words.join('; ')}`,
    svg: await draw(costSpec(prices), title),
  }
}
