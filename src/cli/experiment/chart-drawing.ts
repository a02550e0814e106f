/** Drawings by Vega as SVG: readable on light and dark pages, the same bytes for the same numbers. */
import { parse, type Spec, View } from 'vega'
import type { CurvePoint } from './summary.ts'

interface Labelled {
  readonly arm: string
  readonly label: string
}

export interface Series extends Labelled {
  readonly curve: readonly CurvePoint[]
}

export interface Price extends Labelled {
  readonly teraFlops: number
  readonly area: number
}

/** Told apart from each other, and from white and from near-black. */
const [blue, orange, green, magenta, brown, violet] = ['#0a78c2', '#d1570a', '#00875f', '#b5508c', '#927000', '#6a6fd0']
const palette = [blue, orange, green, magenta, brown, violet]
const shapes = ['circle', 'square', 'triangle-up', 'diamond', 'cross', 'triangle-down']

type Look = readonly [colour: string | undefined, shape: string]

/** An arm looks the same in every chart; those that meet in one differ in colour, or (of all arms) in colour or shape. */
const looks: Readonly<Record<string, Look>> = {
  lora: [blue, 'circle'],
  dylora: [orange, 'square'],
  recipe: [green, 'triangle-up'],
  full: [magenta, 'diamond'],
  'lora-cut-alpha-b': [brown, 'cross'],
  'lora-cut-alpha-r': [violet, 'triangle-down'],
  'lora-svd': [magenta, 'diamond'],
  'dylora-frozen': [brown, 'square'],
  'dylora-geometric': [violet, 'circle'],
  'dylora-frozen-geometric': [magenta, 'triangle-up'],
}

const lookOf = (arm: string, index: number): Look =>
  looks[arm] ?? [palette[index % palette.length], shapes[(index + 3) % shapes.length] as string]

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
export function curveSpec(series: readonly Series[], yTitle: string, logarithmic: boolean): Spec {
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
      ...labelScales(series),
    ],
    axes: [
      { orient: 'bottom', scale: 'x', title: 'rank', values: ranks, format: 'd', ...axisStyle },
      { orient: 'left', scale: 'y', title: yTitle, ...axisStyle },
    ],
    legends: [legend],
    marks: curveMarks,
  }
}

const x = { scale: 'x', field: 'rank' }
const mean = { scale: 'y', field: 'mean' }
const byLabel = { scale: 'colour', field: 'label' }

/** For each arm. */
const curveMarks: NonNullable<Spec['marks']> = [
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
            ...{ x, y: mean, stroke: byLabel, strokeWidth: { value: 2 } },
            strokeDash: { signal: 'datum.ranked ? [] : [5, 4]' },
          },
        },
      },
      {
        type: 'symbol',
        from: { data: 'one' },
        encode: {
          enter: {
            ...{ x, y: mean, fill: byLabel, shape: { scale: 'shape', field: 'label' } },
            size: { signal: 'datum.ranked ? 45 : 0' },
          },
        },
      },
    ],
  },
]

const labelScales = (labelled: readonly Labelled[]): NonNullable<Spec['scales']> => {
  const domain = labelled.map(({ label }) => label)
  const found = labelled.map(({ arm }, i) => lookOf(arm, i))
  return [
    { name: 'colour', type: 'ordinal', domain, range: found.map(([colour]) => colour ?? text) },
    { name: 'shape', type: 'ordinal', domain, range: found.map(([, shape]) => shape) },
  ]
}

const legend = {
  ...{ fill: 'colour', shape: 'shape', orient: 'bottom', direction: 'vertical' },
  ...{ labelColor: text, labelLimit: 0, symbolSize: 70, labelFontSize: 12 },
} as const satisfies NonNullable<Spec['legends']>[number]

export function costSpec(prices: readonly Price[]): Spec {
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
      ...labelScales(prices),
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

export async function draw(spec: Spec, title: string): Promise<string> {
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
