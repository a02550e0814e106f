/** Quality and latency against rank: where the curve flattens is the rank to take. */
import { useState } from 'preact/hooks'
import { type Adapter, getAdapter, type Latency, type Rank } from './api.ts'
import { Chart, Legend, type Line } from './chart.tsx'
import { formatCount, formatMs, formatTick, formatValue, metricName } from './format.ts'
import { usePoll } from './poll.ts'
import {
  autoSentence,
  baselineAt,
  type Measurement,
  measurementName,
  measurementsOf,
  pointAt,
} from './quality-curve.ts'
import { RankTable } from './rank-table.tsx'
import type { Service } from './service.ts'

const refreshMs = 3000

export function RanksPanel({ service, loaded }: { readonly service: Service; readonly loaded: boolean }) {
  const serving = service.adapters.filter(({ digest }) => digest !== null)
  const [chosen, choose] = useState('')
  const [other, compareWith] = useState('')
  const [minQuality, setMinQuality] = useState(0.99)
  const preferred = serving.find(({ is_default: isDefault }) => isDefault) ?? serving[0]
  const id = serving.some((adapter) => adapter.id === chosen) ? chosen : (preferred?.id ?? '')
  const adapter = useAdapter(id, minQuality, serving)
  const compared = useAdapter(other === id ? '' : other, minQuality, serving)
  return (
    <section aria-labelledby="ranks-title">
      <h1 id="ranks-title">What is each rank worth?</h1>
      <p class="lead">
        One adapter was trained for all of these ranks at once. A request picks its rank: fewer rows, a smaller adapter,
        a little less quality. Take the rank where the curve flattens, or let <code>rank=auto</code> take it.
      </p>
      {serving.length === 0 ? (
        <Nothing loaded={loaded} />
      ) : (
        <>
          <div class="controls">
            <AdapterChoice label="Adapter" adapters={serving} value={id} onChange={choose} />
            <AdapterChoice
              label="Compare with"
              adapters={serving.filter((one) => one.id !== id)}
              value={other}
              onChange={compareWith}
              none="nothing"
            />
          </div>
          {adapter.value && (
            <Curves
              adapter={adapter.value}
              compared={compared.value}
              minQuality={minQuality}
              setMinQuality={setMinQuality}
            />
          )}
          {adapter.error && !adapter.value && <p class="notice">{adapter.error.message}</p>}
        </>
      )}
    </section>
  )
}

/** The adapter with its ranks, looked at again and again; nothing for no name. */
function useAdapter(id: string, minQuality: number, serving: readonly Adapter[]) {
  const digest = serving.find((adapter) => adapter.id === id)?.digest
  const polled = usePoll<Adapter | null>(
    async (signal) => (id === '' || digest === undefined ? null : getAdapter(id, minQuality, signal)),
    refreshMs,
    [id, digest, minQuality],
  )
  return polled.value?.id === id ? polled : { value: null, error: polled.error }
}

function Nothing({ loaded }: { readonly loaded: boolean }) {
  if (!loaded) return <p>Asking for the adapters …</p>
  return (
    <p class="empty">
      No adapter serves here yet, so requests get the base model. Put an adapter's directory where the server looks (
      <code>ADAPTERS_DIR</code>), and it appears here by itself; one that is refused is under <a href="#live">Live</a>,
      with the reason.
    </p>
  )
}

interface ChoiceProps {
  readonly label: string
  readonly adapters: readonly Adapter[]
  readonly value: string
  readonly onChange: (id: string) => void
  readonly none?: string
}

function AdapterChoice({ label, adapters, value, onChange, none }: ChoiceProps) {
  return (
    <label>
      {label}
      <select value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        {none !== undefined && <option value="">{none}</option>}
        {adapters.map(({ id }) => (
          <option key={id} value={id}>
            {id}
          </option>
        ))}
      </select>
    </label>
  )
}

interface CurvesProps {
  readonly adapter: Adapter
  readonly compared: Adapter | null
  readonly minQuality: number
  readonly setMinQuality: (share: number) => void
}

function Curves({ adapter, compared, minQuality, setMinQuality }: CurvesProps) {
  const [key, setKey] = useState('')
  const measurements = measurementsOf(adapter)
  const measurement = measurements.find((one) => one.key === key) ?? measurements[0]
  return (
    <>
      <div class="charts">
        <figure>
          <figcaption>
            <h2>Quality</h2>
            {measurement && (
              <label>
                Metric
                <select value={measurement.key} onChange={(event) => setKey(event.currentTarget.value)}>
                  {measurements.map((one) => (
                    <option key={one.key} value={one.key}>
                      {measurementName(one)}
                    </option>
                  ))}
                </select>
              </label>
            )}
          </figcaption>
          {measurement ? (
            <QualityChart adapter={adapter} compared={compared} measurement={measurement} />
          ) : (
            <p class="empty">This adapter carries no measured quality. `dylora evaluate` measures it.</p>
          )}
        </figure>
        <LatencyFigure adapter={adapter} compared={compared} />
      </div>
      <AutoChoice adapter={adapter} minQuality={minQuality} setMinQuality={setMinQuality} />
      <RankTable adapter={adapter} compared={compared} measurement={measurement ?? null} />
    </>
  )
}

/** The ranks of both, without the base model. */
function allRanks(adapters: readonly (Adapter | null)[]): number[] {
  const ranks = adapters.flatMap((adapter) => adapter?.ranks ?? []).map(({ rank }) => rank)
  return [...new Set(ranks)].filter((rank) => rank > 0).sort((a, b) => a - b)
}

const rankOf = (adapter: Adapter, rank: number): Rank | undefined => adapter.ranks.find((one) => one.rank === rank)

/** Beyond so many ranks, doubling is what counts. */
const isWide = (ranks: readonly number[]): boolean => (ranks.at(-1) ?? 0) > 16

interface QualityChartProps {
  readonly adapter: Adapter
  readonly compared: Adapter | null
  readonly measurement: Measurement
}

function QualityChart({ adapter, compared, measurement }: QualityChartProps) {
  const x = allRanks([adapter, compared])
  const { key } = measurement
  const shown = [adapter, ...(compared ? [compared] : [])]
  const lines = [
    ...shown.map((one, i) => curve(one, x, key, i === 0 ? 1 : 2)),
    ...shown.slice(0, 1).flatMap((one) => baseline(one, x, key)),
  ]
  const base = pointAt(rankOf(adapter, 0), key)
  const better = measurement.higherIsBetter ? 'Higher' : 'Lower'
  return (
    <>
      <Chart
        description={describe(adapter, x, measurement)}
        {...{ x, lines, format: formatTick, formatX: String, xLabel: 'rank', logX: isWide(x) }}
        marked={adapter.auto?.rank ?? null}
      />
      <Legend lines={lines} />
      <p class="muted">
        {better} is better;{lines.some(({ band }) => band) && ' bands are 95 % confidence intervals;'} the upright line
        is what auto takes.
        {base && ` The base model without an adapter has ${formatValue(base.value)}.`}
        {compared && !pointAt(compared.ranks.at(-1), key) && ` ${compared.id} was not measured on this.`}
      </p>
    </>
  )
}

function curve(adapter: Adapter, x: readonly number[], key: string, color: 1 | 2): Line {
  const points = x.map((rank) => pointAt(rankOf(adapter, rank), key))
  const values = points.map((point) => point?.value ?? null)
  const band = points.map((point) => (point?.ci95 ? ([point.ci95[0], point.ci95[1]] as const) : null))
  const style = color === 1 ? 'solid' : 'dashed'
  return { label: adapter.id, values, color, style, ...(band.some((ends) => ends !== null) && { band }) }
}

/** What LoRAs of one rank each reach, where the adapter carries it. */
function baseline(adapter: Adapter, x: readonly number[], key: string): Line[] {
  const values = x.map((rank) => baselineAt(rankOf(adapter, rank), key)?.value ?? null)
  if (values.every((value) => value === null)) return []
  return [{ label: 'LoRA trained for that rank alone', values, color: 3, style: 'points' }]
}

function describe({ id, ranks }: Adapter, x: readonly number[], measurement: Measurement): string {
  const [low, high] = [x[0], x.at(-1)].map((rank) => {
    const point = pointAt(
      ranks.find((one) => one.rank === rank),
      measurement.key,
    )
    return point && `${formatValue(point.value)} at rank ${rank}`
  })
  return `${measurementName(measurement)} of ${id} by rank: from ${low ?? 'nothing'} to ${high ?? 'nothing'}; the table below has every number`
}

const latencies = {
  time_to_first_token_ms: 'Time to first token',
  inter_token_ms: 'Between two tokens',
  total_ms: 'Whole request',
} as const
type LatencyKind = keyof typeof latencies

const percentiles = [
  { name: 'p50', style: 'solid' },
  { name: 'p90', style: 'dashed' },
  { name: 'p99', style: 'dotted' },
] as const

function LatencyFigure({ adapter, compared }: { readonly adapter: Adapter; readonly compared: Adapter | null }) {
  const [kind, setKind] = useState<LatencyKind>('time_to_first_token_ms')
  const x = allRanks([adapter, compared])
  const shown = [adapter, ...(compared ? [compared] : [])]
  const lines = shown.flatMap((one, i) => latencyLines(one, x, kind, i === 0 ? 1 : 2, compared !== null))
  const counted = adapter.ranks.reduce((sum, { latency }) => sum + latency[kind].count, 0)
  return (
    <figure>
      <figcaption>
        <h2>Latency, live</h2>
        <label>
          Of
          <select value={kind} onChange={(event) => setKind(event.currentTarget.value as LatencyKind)}>
            {Object.entries(latencies).map(([name, title]) => (
              <option key={name} value={name}>
                {title}
              </option>
            ))}
          </select>
        </label>
      </figcaption>
      {counted === 0 ? (
        <p class="empty">
          No request has run with this adapter since the server started. Try some ranks in the{' '}
          <a href="#playground">playground</a>.
        </p>
      ) : (
        <>
          <Chart
            description={`${latencies[kind]} of ${adapter.id} by rank; the table below has every number`}
            {...{ x, lines, format: formatMs, formatX: String, xLabel: 'rank', logX: isWide(x), fromZero: true }}
            marked={adapter.auto?.rank ?? null}
          />
          <Legend lines={lines} />
          <p class="muted">
            From {formatCount(counted)} {kind === 'inter_token_ms' ? 'steps' : 'requests'} since the server started,
            under whatever load there was.
          </p>
        </>
      )}
    </figure>
  )
}

function latencyLines(adapter: Adapter, x: readonly number[], kind: LatencyKind, color: 1 | 2, named: boolean): Line[] {
  const at = (rank: number): Latency | undefined => rankOf(adapter, rank)?.latency[kind]
  return percentiles.map(({ name, style }) => ({
    label: named ? `${adapter.id} ${name}` : name,
    values: x.map((rank) => {
      const latency = at(rank)
      return latency !== undefined && latency.count > 0 ? latency[name] : null
    }),
    color,
    style,
    spanGaps: true,
  }))
}

interface AutoChoiceProps {
  readonly adapter: Adapter
  readonly minQuality: number
  readonly setMinQuality: (share: number) => void
}

function AutoChoice({ adapter, minQuality, setMinQuality }: AutoChoiceProps) {
  const primary = measurementsOf(adapter).find(({ primary: reads }) => reads)
  return (
    <div class="auto">
      <p role="status">
        <strong>{autoSentence(adapter, minQuality)}</strong>
      </p>
      {primary && (
        <label>
          <span>
            Share of the best {metricName(primary.metric)} that is good enough (<code>min_quality</code>)
          </span>
          <span class="slider">
            <input
              type="range"
              min="0.8"
              max="1"
              step="0.005"
              value={minQuality}
              onInput={(event) => setMinQuality(Number(event.currentTarget.value))}
            />
            <output>{+(100 * minQuality).toFixed(1)} %</output>
          </span>
        </label>
      )}
    </div>
  )
}
