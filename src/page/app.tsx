/** The frame: what serves here, whether it answers, and the panel that the address names. */
import { useEffect, useState } from 'preact/hooks'
import { getInfo, getPaths, type Info } from './api.ts'
import { connection } from './connection.ts'
import { JobsPanel } from './jobs-panel.tsx'
import { KeyField } from './key-field.tsx'
import { LivePanel } from './live-panel.tsx'
import { useAdapters, useLiveHistory } from './live-state.ts'
import { Playground } from './playground.tsx'
import { usePoll } from './poll.ts'
import { RanksPanel } from './ranks-panel.tsx'
import type { Service } from './service.ts'
import { useStore } from './store.ts'

const panels = [
  { id: 'ranks', title: 'Ranks' },
  { id: 'playground', title: 'Playground' },
  { id: 'live', title: 'Live' },
  { id: 'jobs', title: 'Jobs' },
] as const
type PanelId = (typeof panels)[number]['id']

/** `#ranks`, or `#ranks/<adapter>`. */
const panelOf = (hash: string): PanelId => panels.find(({ id }) => `#${id}` === hash.split('/')[0])?.id ?? 'ranks'

export function App() {
  const panel = usePanel()
  const state = useStore(connection.state)
  // A server that came back may be another one; a key may open what was shut.
  const { value: info } = usePoll(getInfo, 5000, [state.kind])
  const { value: paths } = usePoll(getPaths, 60_000, [state.kind])
  const { adapters, events } = useAdapters(state.kind)
  const history = useLiveHistory()
  const service: Service = { info, adapters: adapters ?? [], paths: paths ?? new Set() }
  return (
    <>
      <Header info={info} panel={panel} />
      <ConnectionNotice />
      <main id="main">
        {panel === 'ranks' && <RanksPanel service={service} loaded={adapters !== null} />}
        {/* Kept while another panel is looked at: a run goes on. */}
        <div hidden={panel !== 'playground'}>
          <Playground service={service} />
        </div>
        {panel === 'jobs' && <JobsPanel service={service} />}
        {panel === 'live' && <LivePanel history={history} events={events} service={service} />}
      </main>
      <Footer info={info} />
    </>
  )
}

function usePanel(): PanelId {
  const [panel, setPanel] = useState(() => panelOf(location.hash))
  useEffect(() => {
    const follow = () => setPanel(panelOf(location.hash))
    addEventListener('hashchange', follow)
    return () => removeEventListener('hashchange', follow)
  }, [])
  return panel
}

function Header({ info, panel }: { readonly info: Info | null; readonly panel: PanelId }) {
  return (
    <header class="top">
      <div class="brand">
        <strong>dylora-serve</strong>
        {info && (
          <span class="muted">
            {info.base_model.name} on {info.device.kind.toUpperCase()}
          </span>
        )}
        <ConnectionDot />
      </div>
      <nav aria-label="Panels">
        {panels.map(({ id, title }) => (
          <a key={id} href={`#${id}`} aria-current={id === panel ? 'page' : undefined}>
            {title}
          </a>
        ))}
      </nav>
      <KeyField />
    </header>
  )
}

const dots = {
  connecting: { text: 'connecting', mark: '○' },
  connected: { text: 'connected', mark: '●' },
  lost: { text: 'no answer', mark: '✕' },
  locked: { text: 'locked', mark: '■' },
} as const

function ConnectionDot() {
  const { kind } = useStore(connection.state)
  const { mark, text } = dots[kind]
  return (
    <span class={`dot ${kind}`} role="status">
      <span aria-hidden="true">{mark}</span> {text}
    </span>
  )
}

function ConnectionNotice() {
  const state = useStore(connection.state)
  if (state.kind === 'lost') {
    return (
      <p class="notice" role="alert">
        The server does not answer. What you see is from before; the page goes on trying.
      </p>
    )
  }
  if (state.kind !== 'locked') return null
  return (
    <p class="notice" role="alert">
      {state.reason}. Give the key under <strong>API key</strong>, at the top.
    </p>
  )
}

function Footer({ info }: { readonly info: Info | null }) {
  return (
    <footer class="muted">
      {info && `${info.service} ${info.version} · ONNX Runtime ${info.versions.onnxruntime ?? ''} · `}
      <a href="docs">API</a> · <a href="metrics">metrics</a> · <a href="openapi.json">OpenAPI</a>
    </footer>
  )
}
