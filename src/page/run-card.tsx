/** The text of one rank as it comes, with the words marked that the highest rank does not write. */
import { formatMs } from './format.ts'
import { isOver, type Run } from './runs.ts'
import { diffGrowing } from './word-diff.ts'

const states: Readonly<Record<Run['state'], string>> = {
  waiting: 'waiting …',
  streaming: 'writing …',
  done: 'done',
  stopped: 'stopped',
  failed: 'failed',
}

export function RunCard({ run, reference }: { readonly run: Run; readonly reference: Run | null }) {
  const { rank, details } = run
  const name = rank === 'base' ? 'base model' : `rank ${rank}`
  const taken = details !== null && details.rank > 0 && String(details.rank) !== rank ? ` = ${details.rank}` : ''
  return (
    <article class="card" aria-label={name} aria-busy={!isOver(run)}>
      <h2>
        {name}
        {taken} <span class="muted">{states[run.state]}</span>
      </h2>
      {(run.failure === null || run.text !== '') && (
        <p class="text">
          <Words run={run} reference={reference} />
        </p>
      )}
      {run.failure !== null && (
        <p class="notice" role="alert">
          {run.failure}
        </p>
      )}
      <Figures run={run} />
    </article>
  )
}

function Words({ run, reference }: { readonly run: Run; readonly reference: Run | null }) {
  const text = run.text.trimStart()
  if (reference === null || reference.text === '') return <>{text}</>
  const words = diffGrowing(text, reference.text.trimStart(), isOver(reference))
  return <>{words.map((word, i) => (word.differs ? <Marked key={i} text={word.text} /> : word.text))}</>
}

/** The space before a word is not marked. */
function Marked({ text }: { readonly text: string }) {
  const word = text.trimStart()
  return (
    <>
      {text.slice(0, text.length - word.length)}
      <mark>{word}</mark>
    </>
  )
}

function Figures({ run: { tokens, firstTokenMs, totalMs, details } }: { readonly run: Run }) {
  if (firstTokenMs === null) return null
  const rate = tokens > 1 ? (1000 * (tokens - 1)) / (totalMs - firstTokenMs) : null
  return (
    <dl class="figures">
      <div>
        <dt>tokens</dt>
        <dd>{tokens}</dd>
      </div>
      <div>
        <dt>first token</dt>
        <dd>{formatMs(firstTokenMs)}</dd>
      </div>
      <div>
        <dt>tokens a second</dt>
        <dd>{rate !== null && Number.isFinite(rate) ? rate.toFixed(0) : '–'}</dd>
      </div>
      {details && (
        <div>
          <dt>ended by</dt>
          <dd>{details.finish_reason.replaceAll('_', ' ')}</dd>
        </div>
      )}
    </dl>
  )
}
