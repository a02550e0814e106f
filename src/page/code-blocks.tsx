/** The request as code, to copy. */
import { useState } from 'preact/hooks'
import type { Snippet } from './snippets.ts'

export function CodeBlocks({ snippets }: { readonly snippets: readonly Snippet[] }) {
  const [label, choose] = useState('curl')
  const snippet = snippets.find((one) => one.label === label) ?? snippets[0]
  if (snippet === undefined) return null
  return (
    <section aria-labelledby="code-title">
      <h2 id="code-title">This request as code</h2>
      <div class="controls">
        <label>
          For
          <select value={snippet.label} onChange={(event) => choose(event.currentTarget.value)}>
            {snippets.map((one) => (
              <option key={one.label}>{one.label}</option>
            ))}
          </select>
        </label>
        <CopyButton text={snippet.code} />
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: code that scrolls has to be reached by keyboard */}
      <pre tabIndex={0}>
        <code>{snippet.code}</code>
      </pre>
    </section>
  )
}

function CopyButton({ text }: { readonly text: string }) {
  const [said, say] = useState('')
  // The clipboard is there on https and localhost only; elsewhere the code can still be selected.
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text)
      say('Copied')
    } catch {
      say('This browser does not let the page copy: select the code')
    }
    setTimeout(() => say(''), 3000)
  }
  return (
    <>
      <button type="button" onClick={copy}>
        Copy
      </button>
      <span role="status">{said}</span>
    </>
  )
}
