/** Quality and latency against rank: where the curve flattens is the rank to take. */
import { useState } from 'preact/hooks'
import { type Adapter, getAdapter } from './api.ts'
import { Chart, Legend, type Line } from './chart.tsx'
import { formatTick, formatValue, metricName } from './format.ts'
import { LatencyFigure } from './latency-figure.tsx'
import { usePoll } from './poll.ts'
import {
  autoSentence,
  baselineAt,
  type Measurement,
  measurementName,
  measurementsOf,
  pointAt,
  policySentence,
} from './quality-curve.ts'
import { allRanks, isWide, rankOf } from './rank-axis.ts'
import { RankTable } from './rank-table.tsx'
import type { Service } from './service.ts'

const refreshMs = 3000

export function RanksPanel({ service, loaded }: { readonly service: Service; readonly loaded: boolean }) {
  const serving = service.adapters.filter(({ digest }) => digest !== null)
  // A job that ended leads to its own adapter.
  const [chosen, choose] = useState(() => decodeURIComponent(location.hash.split('/')[1] ?? ''))
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
        A rank is how much of an adapter a request uses: a low one makes the adapter small, a high one makes it good,
        and each request takes its own.
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
      {[adapter, ...(compared ? [compared] : [])].map((one) => (
        <RankTable
          key={one.id}
          adapter={one}
          compared={one === adapter ? compared : null}
          measurement={measurement ?? null}
        />
      ))}
    </>
  )
}

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
        formatPoint={formatValue}
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
        {policySentence(adapter)}
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
            <output>
              {+(100 * minQuality).toFixed(1)}
              {'\u00a0'}%
            </output>
          </span>
        </label>
      )}
    </div>
  )
}
