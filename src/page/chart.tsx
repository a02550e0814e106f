/** A line chart by uPlot. Lines differ in dash and mark too, and every chart stands beside its numbers as text. */
import { useEffect, useRef, useState } from 'preact/hooks'
import uPlot from 'uplot'

export interface Line {
  readonly label: string
  /** One for each x; null leaves a gap. */
  readonly values: readonly (number | null)[]
  /** Which of the page's colours, from 1. */
  readonly color: 1 | 2 | 3
  readonly style?: 'solid' | 'dashed' | 'dotted' | 'points'
  /** Goes on over gaps. */
  readonly spanGaps?: boolean
  /** Lower and upper ends around the values. */
  readonly band?: readonly (readonly [number, number] | null)[]
}

export interface ChartProps {
  /** What it shows, for those who do not see it. */
  readonly description: string
  readonly x: readonly number[]
  readonly xLabel?: string
  readonly lines: readonly Line[]
  readonly format: (value: number) => string
  readonly formatX: (value: number) => string
  /** Doubling steps are equally wide. */
  readonly logX?: boolean
  /** x is seconds since 1970, and so many of them are shown. */
  readonly lastSeconds?: number
  readonly fromZero?: boolean
  readonly height?: number
  /** A value where the pointer is; by default as on the axis. */
  readonly formatPoint?: (value: number) => string
  /** Marks this x, such as the rank that is taken. */
  readonly marked?: number | null
}

export function Chart(props: ChartProps) {
  const place = useRef<HTMLDivElement>(null)
  const chart = useRef<uPlot | null>(null)
  const dark = useDark()
  const [pointed, setPointed] = useState<number | null>(null)
  // A chart is made anew when its lines become others, and else only given new numbers.
  const kind = JSON.stringify([
    props.lines.map(({ label, color, style, band }) => [label, color, style, band !== undefined]),
    [props.logX, props.fromZero, props.height, props.marked, props.xLabel, dark],
  ])
  useEffect(() => {
    const element = place.current
    if (element === null) return
    const made = new uPlot(optionsOf(props, element, setPointed), dataOf(props), element)
    chart.current = made
    const resized = new ResizeObserver(() => {
      made.setSize({ width: widthOf(element), height: props.height ?? 240 })
    })
    resized.observe(element)
    return () => {
      resized.disconnect()
      made.destroy()
      chart.current = null
    }
  }, [kind])
  useEffect(() => chart.current?.setData(dataOf(props)), [props.x, props.lines])
  return (
    <>
      <div class="chart" role="img" aria-label={props.description} ref={place} />
      <p class="readout" aria-hidden="true">
        {readout(props, pointed)}
      </p>
    </>
  )
}

/** The numbers where the pointer is. */
function readout(
  { x, xLabel = '', lines, format, formatX, formatPoint = format }: ChartProps,
  at: number | null,
): string {
  const here = at === null ? undefined : x[at]
  if (at === null || here === undefined) return ''
  const values = lines.flatMap(({ label, values: all }) => {
    const value = all[at] ?? null
    return value === null ? [] : [`${label} ${formatPoint(value)}`]
  })
  return `${xLabel} ${formatX(here)}: ${values.join(' · ') || 'nothing'}`.trim()
}

const widthOf = (element: HTMLElement): number => Math.max(200, element.clientWidth)

function useDark(): boolean {
  const [query] = useState(() => matchMedia('(prefers-color-scheme: dark)'))
  const [dark, setDark] = useState(query.matches)
  useEffect(() => {
    const follow = () => setDark(query.matches)
    query.addEventListener('change', follow)
    return () => query.removeEventListener('change', follow)
  }, [query])
  return dark
}

/** x, then for each line its values and, where it has a band, the band's ends. */
function dataOf({ x, lines }: ChartProps): uPlot.AlignedData {
  const columns = lines.flatMap(({ values, band }) =>
    band === undefined
      ? [values]
      : [values, band.map((ends) => ends?.[0] ?? null), band.map((ends) => ends?.[1] ?? null)],
  )
  return [[...x], ...columns.map((column) => [...column])]
}

function optionsOf(props: ChartProps, element: HTMLElement, setPointed: (index: number | null) => void): uPlot.Options {
  const style = getComputedStyle(element)
  const color = (name: string): string => style.getPropertyValue(name).trim()
  const { lines, logX = false, lastSeconds, fromZero = false } = props
  const timeX = lastSeconds !== undefined
  const rule = { stroke: color('--line'), width: 1 }
  const axis = { stroke: color('--muted'), grid: rule, ticks: rule }
  return {
    width: widthOf(element),
    height: props.height ?? 240,
    scales: {
      x: {
        time: timeX,
        ...(logX && { distr: 3 as const, log: 2 as const }),
        ...(timeX && {
          range: (_chart: uPlot, _first: number, last: number) => [last - lastSeconds, last] as [number, number],
        }),
      },
      y: fromZero ? { range: (_chart, _low, high) => [0, high > 0 ? high * 1.1 : 1] } : {},
    },
    axes: [
      {
        ...axis,
        size: 32,
        ...(props.xLabel !== undefined && { label: props.xLabel, labelSize: 20, labelGap: 0 }),
        values: (_chart, splits) => splits.map((split) => (split === null ? '' : props.formatX(split))),
        ...(!timeX && { incrs: [1, 2, 4, 8, 16, 32, 64, 128] }),
      },
      { ...axis, size: 64, values: (_chart, splits) => splits.map((split) => props.format(split)) },
    ],
    series: [{}, ...lines.flatMap((line) => seriesOf(line, color, !timeX))],
    bands: bandsOf(lines, color),
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, y: false },
    hooks: {
      draw: [(chart) => drawMark(chart, props.marked ?? null, color('--text'))],
      setCursor: [({ cursor }) => setPointed(cursor.idx ?? null)],
    },
  }
}

const dashes: Readonly<Record<NonNullable<Line['style']>, number[]>> = {
  solid: [],
  dashed: [8, 5],
  dotted: [2, 4],
  points: [],
}

function seriesOf(
  { label, color: number, style = 'solid', band, spanGaps = false }: Line,
  color: (name: string) => string,
  marked: boolean,
): uPlot.Series[] {
  const stroke = color(`--c${number}`)
  const line: uPlot.Series = {
    label,
    stroke,
    width: style === 'points' ? 0 : 2,
    dash: dashes[style],
    spanGaps,
    points: {
      show: style === 'points' || (marked && isSparse),
      filter: loneValues,
      size: style === 'points' ? 9 : 6,
      fill: stroke,
      stroke,
    },
  }
  const end: uPlot.Series = { stroke: 'transparent', width: 0, points: { show: false } }
  return band === undefined ? [line] : [line, end, end]
}

/** Few enough values for a mark on each. */
const isSparse = ({ data }: uPlot, series: number): boolean =>
  [...(data[series] ?? [])].filter((value) => typeof value === 'number').length <= 24

/** Without neighbours there is no line to see them by. */
function loneValues({ data }: uPlot, series: number, shown: boolean): number[] | null {
  if (shown) return null
  const values = [...(data[series] ?? [])]
  const known = (i: number) => typeof values[i] === 'number'
  return values.flatMap((_, i) => (known(i) && !known(i - 1) && !known(i + 1) ? [i] : []))
}

function bandsOf(lines: readonly Line[], color: (name: string) => string): uPlot.Band[] {
  const bands: uPlot.Band[] = []
  let column = 1
  for (const { band, color: number } of lines) {
    if (band !== undefined) bands.push({ series: [column + 2, column + 1], fill: color(`--band${number}`) })
    column += band === undefined ? 1 : 3
  }
  return bands
}

/** An upright line at the marked x. */
function drawMark(chart: uPlot, x: number | null, stroke: string): void {
  if (x === null) return
  const { ctx, bbox } = chart
  const at = chart.valToPos(x, 'x', true)
  ctx.save()
  ctx.strokeStyle = stroke
  ctx.setLineDash([3, 4])
  ctx.beginPath()
  ctx.moveTo(at, bbox.top)
  ctx.lineTo(at, bbox.top + bbox.height)
  ctx.stroke()
  ctx.restore()
}

/** What a chart's lines are, said beside it. */
export function Legend({ lines }: { readonly lines: readonly Line[] }) {
  return (
    <ul class="legend">
      {lines.map(({ label, color, style = 'solid' }) => (
        <li key={label}>
          <span class={`swatch c${color} ${style}`} aria-hidden="true" /> {label}
        </li>
      ))}
    </ul>
  )
}
