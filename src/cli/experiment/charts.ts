/** The charts of a report, drawn by Vega as SVG: readable on light and dark pages, the same bytes for the same results. */
import { parse, type Spec, View } from 'vega'
import type { PlanName } from './plan.ts'
import type { Figure } from './report.ts'
import type { Results } from './results.ts'
import { type ArmSummary, armsOf, auracOf, type CurvePoint, costOf, curveOf } from './summary.ts'

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
  readonly quantity: 'bleu' | 'loss'
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

interface Series {
  readonly label: string
  readonly curve: readonly CurvePoint[]
}

async function qualityChart(results: Results, plan: PlanName, draft: Draft): Promise<Chart | null> {
  const series = armsOf(results, plan)
    .filter(draft.shows)
    .map(({ arm, label }): Series => {
      const quantity = draft.quantity === 'loss' ? 'loss' : 'bleu'
      return {
        label,
        curve: curveOf(results, plan, arm, ({ loss, metrics }) =>
          quantity === 'loss' ? loss : (metrics.bleu ?? Number.NaN),
        ),
      }
    })
  if (series.length < draft.least) return null
  const digits = draft.quantity === 'loss' ? 3 : 1
  return {
    file: `${plan}-${draft.name}.svg`,
    alt: `${draft.title}: ${series.map((one) => described(one, digits)).join('; ')}`,
    svg: await draw(curveSpec(series, draft, plan === 'wide'), draft.title),
  }
}

/** `DyLoRA from 60.1 at rank 1 to 62.3 at rank 8`. */
function described({ label, curve }: Series, digits: number): string {
  const [first, last] = [curve[0], curve.at(-1)]
  if (first === undefined || last === undefined) return label
  if (curve.length === 1) return `${label} ${first.mean.toFixed(digits)}`
  return `${label} from ${first.mean.toFixed(digits)} at rank ${first.rank} to ${last.mean.toFixed(digits)} at rank ${last.rank}`
}

/** Told apart from each other, and from white and from near-black. */
const palette = ['#0a78c2', '#d1570a', '#00875f', '#b5508c', '#927000', '#6a6fd0']
const shapes = ['circle', 'square', 'triangle-up', 'diamond', 'cross', 'triangle-down']

/** Colours of light pages, and what takes their place on dark ones. */
const inks = { paper: ['#fffffe', '#0d1117'], text: ['#24292f', '#d7dde3'], grid: ['#d8dee4', '#30363d'] } as const
const [paper, text, grid] = [inks.paper[0], inks.text[0], inks.grid[0]]

const axisStyle = {
  labelColor: text,
  titleColor: text,
  domainColor: grid,
  tickColor: grid,
  gridColor: grid,
  grid: true,
}

/** Lines with points, and bands of a deviation; a model without ranks is a dashed line over all of them. */
function curveSpec(series: readonly Series[], { quantity }: Draft, logarithmic: boolean): Spec {
  const ranks = [...new Set(series.flatMap(({ curve }) => curve.map(({ rank }) => rank)))].filter((rank) => rank > 0)
  const [lowest, highest] = [Math.min(...ranks), Math.max(...ranks)]
  const points = series.flatMap(({ label, curve }) =>
    curve.flatMap(({ rank, mean, deviation }) =>
      (rank === 0 ? [lowest, highest] : [rank]).map((at) => ({
        ...{ label, rank: at, mean, ranked: rank > 0 },
        ...{ low: mean - (deviation ?? 0), high: mean + (deviation ?? 0) },
      })),
    ),
  )
  const x = { scale: 'x', field: 'rank' }
  const byLabel = { scale: 'colour', field: 'label' }
  return {
    width: 520,
    height: 300,
    data: [{ name: 'points', values: points }],
    scales: [
      logarithmic
        ? { name: 'x', type: 'log', base: 2, domain: [lowest, highest], range: 'width' }
        : { name: 'x', type: 'linear', domain: [lowest, highest], range: 'width', zero: false },
      {
        ...{ name: 'y', type: 'linear', range: 'height', zero: false, nice: true },
        domain: {
          fields: [
            { data: 'points', field: 'low' },
            { data: 'points', field: 'high' },
          ],
        },
      },
      ...labelScales(series.map(({ label }) => label)),
    ],
    axes: [
      { orient: 'bottom', scale: 'x', title: 'rank', values: ranks, format: 'd', ...axisStyle },
      { orient: 'left', scale: 'y', title: quantity === 'loss' ? 'nats per token' : 'BLEU', ...axisStyle },
    ],
    legends: [legend],
    marks: [
      {
        type: 'group',
        from: { facet: { name: 'one', data: 'points', groupby: 'label' } },
        marks: [
          {
            type: 'area',
            from: { data: 'one' },
            encode: {
              enter: {
                x,
                y: { scale: 'y', field: 'low' },
                y2: { scale: 'y', field: 'high' },
                fill: byLabel,
                fillOpacity: { value: 0.15 },
              },
            },
          },
          {
            type: 'line',
            from: { data: 'one' },
            encode: {
              enter: {
                ...{ x, y: { scale: 'y', field: 'mean' }, stroke: byLabel, strokeWidth: { value: 2 } },
                strokeDash: { signal: 'datum.ranked ? [] : [5, 4]' },
              },
            },
          },
          {
            type: 'symbol',
            from: { data: 'one' },
            encode: {
              enter: {
                ...{ x, y: { scale: 'y', field: 'mean' }, fill: byLabel, shape: { scale: 'shape', field: 'label' } },
                size: { signal: 'datum.ranked ? 45 : 0' },
              },
            },
          },
        ],
      },
    ],
  }
}

const labelScales = (labels: readonly string[]): NonNullable<Spec['scales']> => [
  { name: 'colour', type: 'ordinal', domain: [...labels], range: palette },
  { name: 'shape', type: 'ordinal', domain: [...labels], range: shapes },
]

const legend = {
  ...{ fill: 'colour', shape: 'shape', orient: 'bottom', direction: 'vertical' },
  ...{ labelColor: text, labelLimit: 500, symbolSize: 70, labelFontSize: 12 },
} as const satisfies NonNullable<Spec['legends']>[number]

interface Price {
  readonly label: string
  readonly teraFlops: number
  readonly area: number
}

/** What it costs to have an arm at all of its ranks, and what it is worth. */
async function costChart(results: Results, plan: PlanName): Promise<Chart | null> {
  const prices = armsOf(results, plan).flatMap((arm): Price[] => {
    const found = costOf(results, plan, arm)
    const area = auracOf(curveOf(results, plan, arm.arm, ({ metrics }) => metrics.bleu ?? Number.NaN))
    return found === null || area === null ? [] : [{ label: arm.label, teraFlops: found.cost.flops / 1e12, area }]
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

function costSpec(prices: readonly Price[]): Spec {
  return {
    width: 520,
    height: 300,
    data: [{ name: 'prices', values: [...prices] }],
    scales: [
      {
        name: 'x',
        type: 'linear',
        domain: { data: 'prices', field: 'teraFlops' },
        range: 'width',
        zero: true,
        nice: true,
      },
      {
        name: 'y',
        type: 'linear',
        domain: { data: 'prices', field: 'area' },
        range: 'height',
        zero: false,
        nice: true,
      },
      {
        ...{ name: 'colour', type: 'ordinal', domain: prices.map(({ label }) => label) },
        range: prices.map((_, i) => palette[i % palette.length] as string),
      },
      {
        ...{ name: 'shape', type: 'ordinal', domain: prices.map(({ label }) => label) },
        range: prices.map((_, i) => shapes[Math.floor(i / 2) % shapes.length] as string),
      },
    ],
    axes: [
      { orient: 'bottom', scale: 'x', title: 'TFLOP of the trainings for all ranks', ...axisStyle },
      { orient: 'left', scale: 'y', title: 'AURAC of BLEU', ...axisStyle },
    ],
    legends: [legend],
    marks: [
      {
        type: 'symbol',
        from: { data: 'prices' },
        encode: {
          enter: {
            ...{ x: { scale: 'x', field: 'teraFlops' }, y: { scale: 'y', field: 'area' }, size: { value: 90 } },
            ...{ fill: { scale: 'colour', field: 'label' }, shape: { scale: 'shape', field: 'label' } },
          },
        },
      },
    ],
  }
}

async function draw(spec: Spec, title: string): Promise<string> {
  const shared: Partial<Spec> = {
    background: paper,
    padding: 12,
    title: { text: title, anchor: 'start', color: text, fontSize: 14 },
    config: { style: { 'guide-label': { fontSize: 12 }, 'guide-title': { fontSize: 12 } } },
  }
  const view = new View(parse({ ...spec, ...shared, description: title }), { renderer: 'none' })
  try {
    return `${adaptive(await view.toSVG(), title)}\n`
  } finally {
    view.finalize()
  }
}

/** With a title for those who do not see it, and other inks where the reader prefers dark. */
function adaptive(svg: string, title: string): string {
  const rules = Object.values(inks).flatMap(([light, dark]) =>
    ['fill', 'stroke'].map((property) => `[${property}="${light}"]{${property}:${dark}}`),
  )
  const style = `<style>@media (prefers-color-scheme:dark){${rules.join('')}}</style>`
  return svg.replace(/^<svg [^>]*>/, (opening) => `${opening}<title>${title}</title>${style}`)
}
