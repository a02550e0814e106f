/** One prompt at several ranks at once, from the same seed, with what differs marked. */
import { useState } from 'preact/hooks'
import { type Adapter, addressOf, apiKey } from './api.ts'
import { CodeBlocks } from './code-blocks.tsx'
import { controls, initialSettings, parametersOf } from './parameters.ts'
import { RankChoice } from './rank-choice.tsx'
import { defaultRanks, mostAtOnce } from './rank-options.ts'
import { RunCard } from './run-card.tsx'
import { isOver, referenceOf, useRuns } from './runs.ts'
import type { Service } from './service.ts'
import { snippetsOf } from './snippets.ts'

const examplePrompt =
  'name : The Vaults | Type : pub | price : more than £ 30 | customer rating : 5 out of 5 | near : Café Adriatic'

export function Playground({ service }: { readonly service: Service }) {
  const [inputs, setInputs] = useState(examplePrompt)
  const [settings, setSettings] = useState(initialSettings)
  const [chosenAdapter, chooseAdapter] = useState('')
  const [chosenRanks, chooseRanks] = useState<readonly string[] | null>(null)
  const { runs, running, start, stop } = useRuns()
  const adapter = adapterOf(service, chosenAdapter)
  const ranks = chosenRanks ?? defaultRanks(adapter)
  const parameters = parametersOf(settings)
  const adapterId = adapter?.id ?? service.info?.base_model.name ?? null
  const request = { inputs, parameters: { ...parameters, ...(adapterId !== null && { adapter_id: adapterId }) } }
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    start(ranks, request)
  }
  const snippets = snippetsOf({
    ...{ origin: addressOf('/').replace(/\/$/, ''), adapter: adapterId },
    ...{ rank: ranks.at(-1) ?? 'max', inputs, parameters, keyed: apiKey.get() !== '' },
  })
  return (
    <section aria-labelledby="playground-title">
      <h1 id="playground-title">The same prompt at several ranks</h1>
      <form onSubmit={submit}>
        <label class="prompt">
          Prompt
          <textarea rows={3} value={inputs} onInput={(event) => setInputs(event.currentTarget.value)} />
        </label>
        <div class="controls">
          <label>
            Adapter
            <select
              value={adapter?.id ?? ''}
              onChange={(event) => {
                chooseAdapter(event.currentTarget.value === '' ? noAdapter : event.currentTarget.value)
                chooseRanks(null)
              }}
            >
              {servingOf(service).map(({ id }) => (
                <option key={id} value={id}>
                  {id}
                </option>
              ))}
              <option value="">none, the base model alone</option>
            </select>
          </label>
          {controls.map(({ name, label, min, max, step }) => (
            <label key={name}>
              {label}
              <input
                type="number"
                {...{ min, max, step }}
                required
                value={settings[name]}
                onInput={(event) => setSettings({ ...settings, [name]: event.currentTarget.valueAsNumber })}
              />
            </label>
          ))}
        </div>
        <RankChoice adapter={adapter} chosen={ranks} onChange={chooseRanks} />
        <p class="actions">
          <button type="submit" class="primary" disabled={ranks.length === 0 || ranks.length > mostAtOnce}>
            Generate at {ranks.length} {ranks.length === 1 ? 'rank' : 'ranks'}
          </button>
          <button type="button" onClick={stop} disabled={!running}>
            Stop
          </button>
          <span class="muted" role="status">
            {progressOf(runs)}
          </span>
        </p>
      </form>
      <Results runs={runs} />
      <CodeBlocks snippets={snippets.filter(({ route }) => service.paths.has(route))} />
    </section>
  )
}

const noAdapter = '\0none'

const servingOf = ({ adapters }: Service): readonly Adapter[] => adapters.filter(({ digest }) => digest !== null)

/** Null is the bare base model. */
function adapterOf(service: Service, chosen: string): Adapter | null {
  const serving = servingOf(service)
  if (chosen === noAdapter) return null
  return serving.find(({ id }) => id === chosen) ?? serving.find(({ is_default: first }) => first) ?? serving[0] ?? null
}

function progressOf(runs: ReturnType<typeof useRuns>['runs']): string {
  if (runs.length === 0) return ''
  const over = runs.filter(isOver).length
  return over < runs.length ? `${over} of ${runs.length} done` : 'All done'
}

function Results({ runs }: { readonly runs: ReturnType<typeof useRuns>['runs'] }) {
  const reference = referenceOf(runs)
  if (runs.length === 0) return null
  return (
    <>
      {runs.length > 1 && reference && (
        <p class="muted">
          <mark>Marked</mark> words are not in the text of the highest rank here (
          {reference.details?.rank ?? reference.rank}).
        </p>
      )}
      <div class="cards">
        {runs.map((run) => (
          <RunCard key={run.rank} run={run} reference={reference === run ? null : (reference ?? null)} />
        ))}
      </div>
    </>
  )
}
