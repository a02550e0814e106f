/** The last minutes: load, speed, batches, cache, and adapters that come and go. */
import type { AdapterEvent } from './adapter-events.ts'
import { Chart, type Line } from './chart.tsx'
import { formatShare, formatTick, formatTime, formatValue, shortDigest } from './format.ts'
import { keptSeconds, type LivePoint } from './live-history.ts'
import type { Service } from './service.ts'

type Field = Exclude<keyof LivePoint, 'time'>

interface Gauge {
  readonly title: string
  readonly lines: readonly { readonly field: Field; readonly label: string }[]
  readonly format: (value: number) => string
  /** On the axis, where it is another. */
  readonly tick?: (value: number) => string
}

const whole = (value: number): string => (Number.isInteger(value) ? String(value) : value.toFixed(1))

const gauges: readonly Gauge[] = [
  {
    title: 'Requests',
    lines: [
      { field: 'running', label: 'running' },
      { field: 'waiting', label: 'waiting' },
    ],
    format: whole,
  },
  {
    title: 'Tokens a second',
    lines: [{ field: 'tokensPerSecond', label: 'generated' }],
    format: formatValue,
    tick: formatTick,
  },
  {
    title: 'Batch',
    lines: [
      { field: 'batchSize', label: 'requests a step' },
      { field: 'distinctRanks', label: 'ranks a step' },
    ],
    format: whole,
  },
  { title: 'KV cache', lines: [{ field: 'cacheUsage', label: 'in use' }], format: formatShare },
]

interface LivePanelProps {
  readonly history: readonly LivePoint[]
  readonly events: readonly AdapterEvent[]
  readonly service: Service
}

export function LivePanel({ history, events, service }: LivePanelProps) {
  return (
    <section aria-labelledby="live-title">
      <h1 id="live-title">Live</h1>
      <p class="lead">The last {keptSeconds / 60} minutes, as seen since this page was opened.</p>
      <div class="charts small">
        {gauges.map((gauge) => (
          <GaugeFigure key={gauge.title} gauge={gauge} history={history} />
        ))}
      </div>
      <Adapters service={service} />
      <Events events={events} />
    </section>
  )
}

function GaugeFigure({ gauge, history }: { readonly gauge: Gauge; readonly history: readonly LivePoint[] }) {
  const { title, format, tick = format } = gauge
  const latest = history.at(-1)
  const x = history.map(({ time }) => time)
  const lines = gauge.lines.map(
    ({ field, label }, i): Line => ({
      label,
      values: history.map((point) => point[field]),
      color: i === 0 ? 1 : 2,
      style: i === 0 ? 'solid' : 'dashed',
    }),
  )
  return (
    <figure>
      <figcaption>
        <h2>{title}</h2>
      </figcaption>
      <dl class="figures">
        {gauge.lines.map(({ field, label }, i) => (
          <div key={field}>
            <dt>
              <span class={`swatch c${i + 1} ${i === 0 ? 'solid' : 'dashed'}`} aria-hidden="true" /> {label}
            </dt>
            <dd>{shown(latest?.[field] ?? null, format)}</dd>
          </div>
        ))}
      </dl>
      <Chart
        description={`${title} over the last minutes`}
        {...{ x, lines, format: tick, lastSeconds: keptSeconds, fromZero: true, height: 150 }}
        formatPoint={format}
        formatX={(time) => formatTime(new Date(time * 1000)).slice(0, 5)}
      />
    </figure>
  )
}

const shown = (value: number | null, format: (value: number) => string): string =>
  value === null ? '–' : format(value)

function Adapters({ service: { adapters } }: { readonly service: Service }) {
  if (adapters.length === 0) return <p class="empty">There is no adapter.</p>
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a table that scrolls has to be reached by keyboard
    <section class="scroll" tabIndex={0} aria-label="Adapters">
      <table>
        <caption>Adapters</caption>
        <thead>
          <tr>
            <th scope="col">name</th>
            <th scope="col">state</th>
            <th scope="col">version</th>
            <th scope="col">highest rank</th>
            <th scope="col" class="wide">
              why it was refused
            </th>
          </tr>
        </thead>
        <tbody>
          {adapters.map(({ id, state, digest, max_rank: maxRank, reason, is_default: isDefault }) => (
            <tr key={id}>
              <th scope="row">
                {id} {isDefault && <span class="tag">default</span>}
              </th>
              <td>{state}</td>
              <td>{digest === null ? '–' : <code>{shortDigest(digest)}</code>}</td>
              <td>{maxRank ?? '–'}</td>
              <td class="wide">{reason ?? ''}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}

function Events({ events }: { readonly events: readonly AdapterEvent[] }) {
  return (
    <>
      <h2 id="events-title">Coming and going</h2>
      <ol class="events" aria-labelledby="events-title" aria-live="polite">
        {events.map(({ at, adapter, kind, text }) => (
          <li key={`${at.getTime()} ${adapter} ${kind}`} class={kind}>
            <time dateTime={at.toISOString()}>{formatTime(at)}</time> <strong>{adapter}</strong> {text}
          </li>
        ))}
      </ol>
    </>
  )
}
