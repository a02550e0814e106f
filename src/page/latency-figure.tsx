/** Live latency against rank, under whatever load there was. */
import { useState } from 'preact/hooks'
import type { Adapter, Latency } from './api.ts'
import { Chart, Legend, type Line } from './chart.tsx'
import { formatCount, formatMs, formatTick } from './format.ts'
import { allRanks, isWide, rankOf } from './rank-axis.ts'

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

export function LatencyFigure({ adapter, compared }: { readonly adapter: Adapter; readonly compared: Adapter | null }) {
  const [kind, setKind] = useState<LatencyKind>('time_to_first_token_ms')
  const x = allRanks([adapter, compared])
  const shown = [adapter, ...(compared ? [compared] : [])]
  const lines = shown.flatMap((one, i) => latencyLines(one, x, kind, i === 0 ? 1 : 2, compared !== null))
  const counted = shown.flatMap(({ ranks }) => ranks).reduce((sum, { latency }) => sum + latency[kind].count, 0)
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
      {lines.length === 0 ? (
        <p class="empty">
          No request has run with {compared ? 'these adapters' : 'this adapter'} since the server started. Try some
          ranks in the <a href="#playground">playground</a>.
        </p>
      ) : (
        <>
          <Chart
            description={`${latencies[kind]} of ${adapter.id} by rank; the table below has every number`}
            {...{
              x,
              lines,
              format: (ms) => `${formatTick(ms)} ms`,
              formatX: String,
              xLabel: 'rank',
              logX: isWide(x),
              fromZero: true,
            }}
            formatPoint={formatMs}
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

/** None for an adapter that nobody has asked. */
function latencyLines(adapter: Adapter, x: readonly number[], kind: LatencyKind, color: 1 | 2, named: boolean): Line[] {
  const at = (rank: number): Latency | undefined => rankOf(adapter, rank)?.latency[kind]
  if (!x.some((rank) => at(rank)?.count)) return []
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
