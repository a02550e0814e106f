/** Every number behind the curves, for reading and copying. */
import type { Adapter, Latency, Quality, Rank } from './api.ts'
import { formatBytes, formatCount, formatMs, formatValue, metricName } from './format.ts'
import { baselineAt, type Measurement, pointAt } from './quality-curve.ts'

interface RankTableProps {
  readonly adapter: Adapter
  readonly compared: Adapter | null
  readonly measurement: Measurement | null
}

export function RankTable({ adapter, compared, measurement }: RankTableProps) {
  const key = measurement?.key ?? ''
  const name = measurement === null ? 'Quality' : metricName(measurement.metric)
  const hasBaseline = adapter.ranks.some((rank) => baselineAt(rank, key) !== undefined)
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a table that scrolls has to be reached by keyboard
    <section class="scroll" tabIndex={0} aria-label={`Ranks of ${adapter.id}`}>
      <table>
        <caption>
          {adapter.id}:{' '}
          {adapter.method === 'lora' ? 'a LoRA of one rank' : `ranks 1 to ${adapter.max_rank}, one copy in memory`}
        </caption>
        <thead>
          <tr>
            <th scope="col">rank</th>
            <th scope="col">{name}</th>
            {hasBaseline && <th scope="col">LoRA for that rank</th>}
            {compared && <th scope="col">{compared.id}</th>}
            <th scope="col">parameters</th>
            <th scope="col">size</th>
            <th scope="col">
              first token <span class="unit">p50 / p90 / p99</span>
            </th>
            <th scope="col">
              between tokens <span class="unit">p50 / p90 / p99</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {adapter.ranks.map((rank) => (
            <tr key={rank.rank} class={adapter.auto?.rank === rank.rank ? 'chosen' : ''}>
              <th scope="row">
                {rank.rank === 0 ? 'base' : rank.rank}{' '}
                {adapter.auto?.rank === rank.rank && <span class="tag">auto</span>}
              </th>
              <td>
                <Measured point={pointAt(rank, key)} />
              </td>
              {hasBaseline && (
                <td>
                  <Measured point={baselineAt(rank, key)} />
                </td>
              )}
              {compared && (
                <td>
                  <Measured point={pointAt(sameRank(compared, rank), key)} />
                </td>
              )}
              <td>{formatCount(rank.parameters)}</td>
              <td>{formatBytes(rank.bytes)}</td>
              <td>
                <Percentiles latency={rank.latency.time_to_first_token_ms} />
              </td>
              <td>
                <Percentiles latency={rank.latency.inter_token_ms} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}

const sameRank = ({ ranks }: Adapter, { rank }: Rank): Rank | undefined => ranks.find((one) => one.rank === rank)

const none = (
  <span class="muted" title="not measured">
    –
  </span>
)

function Measured({ point }: { readonly point: Quality | ReturnType<typeof baselineAt> }) {
  if (point === undefined) return none
  const { value, ci95 } = point
  return (
    <>
      {formatValue(value)}
      {ci95 && (
        <span class="unit">
          {' '}
          [{formatValue(ci95[0])}, {formatValue(ci95[1])}]
        </span>
      )}
    </>
  )
}

function Percentiles({ latency: { count, p50, p90, p99 } }: { readonly latency: Latency }) {
  if (count === 0) return none
  return (
    <>
      {[p50, p90, p99].map(formatMs).join(' / ')} <span class="unit">n={formatCount(count)}</span>
    </>
  )
}
