/** Starts a training: name, data, and the settings that matter most; the rest have the trainer's defaults. */
import { useState } from 'preact/hooks'
import { formatBytes } from './format.ts'
import { createJob } from './jobs-api.ts'

const fields = [
  { name: 'max_rank', label: 'Highest rank', initial: '8', min: 1, max: 512, step: 1 },
  { name: 'epochs', label: 'Epochs', initial: '3', min: 0.01, max: 1000, step: 'any' },
  { name: 'learning_rate', label: 'Learning rate', initial: '0.005', min: 0.000001, max: 1, step: 'any' },
  { name: 'batch_size', label: 'Batch size', initial: '16', min: 1, max: 4096, step: 1 },
  { name: 'seed', label: 'Seed', initial: '42', min: 0, max: 2 ** 32 - 1, step: 1 },
] as const

const fileOf = (value: FormDataEntryValue | null): File | null => (value instanceof File ? value : null)

interface JobFormProps {
  /** The largest file that the server takes; null where it does not say. */
  readonly limitBytes: number | null
  readonly started: (id: string) => void
}

export function JobForm({ limitBytes, started }: JobFormProps) {
  const [open, setOpen] = useState(false)
  const [failure, setFailure] = useState('')
  const [busy, setBusy] = useState(false)
  const submit = async (event: SubmitEvent) => {
    event.preventDefault()
    const given = new FormData(event.currentTarget as HTMLFormElement)
    const settings = Object.fromEntries(fields.map(({ name }) => [name, Number(given.get(name))]))
    const job = { adapter: given.get('adapter'), settings, gate: { not_worse: given.get('not_worse') !== null } }
    const files = { data: fileOf(given.get('data')), validation: fileOf(given.get('validation')) }
    const large = Object.values(files).find((file) => limitBytes !== null && file !== null && file.size > limitBytes)
    if (large)
      return setFailure(
        `${large.name} has ${formatBytes(large.size)}: expected at most ${formatBytes(limitBytes ?? 0)}`,
      )
    setFailure('')
    setBusy(true)
    try {
      const made = await createJob(job, files)
      setOpen(false)
      started(made.id)
    } catch (error) {
      setFailure((error as Error).message)
    } finally {
      setBusy(false)
    }
  }
  if (!open) {
    return (
      <p>
        <button type="button" class="primary" onClick={() => setOpen(true)}>
          Train an adapter
        </button>
      </p>
    )
  }
  return (
    <form onSubmit={submit} class="auto" aria-label="Train an adapter">
      <div class="controls">
        <label>
          Name of the adapter
          <input
            name="adapter"
            required
            pattern="[A-Za-z0-9][\w.\-]{0,99}"
            title="Letters, digits, dots, dashes and underscores"
          />
        </label>
        <label>
          Data: JSON lines of context and completion{limitBytes !== null && `, at most ${formatBytes(limitBytes)}`}
          <input name="data" type="file" required accept=".jsonl" />
        </label>
        <label>
          Validation data, to measure every rank
          <input name="validation" type="file" accept=".jsonl" />
        </label>
        {fields.map(({ name, label, initial, min, max, step }) => (
          <label key={name}>
            {label}
            <input {...{ name, min, max, step }} type="number" defaultValue={initial} required />
          </label>
        ))}
        <label class="chip">
          <input name="not_worse" type="checkbox" defaultChecked />
          only if it is not worse than what it replaces
        </label>
      </div>
      <p class="actions">
        <button type="submit" class="primary" disabled={busy}>
          Start
        </button>
        <button type="button" onClick={() => setOpen(false)}>
          Close
        </button>
      </p>
      {failure !== '' && (
        <p class="notice" role="alert">
          {failure}
        </p>
      )}
    </form>
  )
}
