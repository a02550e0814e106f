/** Where a key is given: for this tab alone, never in the address. */
import { useState } from 'preact/hooks'
import { apiKey } from './api.ts'
import { connection } from './connection.ts'

export function KeyField() {
  const [saved, setSaved] = useState(apiKey.get() !== '')
  const [open, setOpen] = useState(false)
  const save = (key: string) => {
    apiKey.set(key)
    setSaved(key !== '')
    setOpen(false)
    connection.retry()
  }
  return (
    <div class="key">
      <button type="button" aria-expanded={open} aria-controls="key-form" onClick={() => setOpen(!open)}>
        API key{saved ? ': given' : ''}
      </button>
      {open && <KeyForm saved={saved} save={save} />}
    </div>
  )
}

function KeyForm({ saved, save }: { readonly saved: boolean; readonly save: (key: string) => void }) {
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    save(String(new FormData(event.currentTarget as HTMLFormElement).get('key') ?? '').trim())
  }
  return (
    <form id="key-form" class="popover" onSubmit={submit}>
      <label>
        API key
        <input name="key" type="password" autocomplete="off" required />
      </label>
      <p class="muted">Kept for this tab only.</p>
      <button type="submit" class="primary">
        Use it
      </button>
      {saved && (
        <button type="button" onClick={() => save('')}>
          Forget it
        </button>
      )}
    </form>
  )
}
