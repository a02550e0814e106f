import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const program = fileURLToPath(new URL('../fixtures/stuck-server.ts', import.meta.url))

/** How a process ends in which this happens. */
async function endOf(what: string) {
  const child = spawn(process.execPath, ['--import', 'tsx', program, what], { stdio: ['ignore', 'pipe', 'pipe'] })
  const [said, complained, [code, signal]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit'),
  ])
  return { code, signal, said, complained }
}

t.test(
  'a step that never ends, or an event loop that stands still, ends the process; work or rest do not',
  async (t) => {
    const [step, loop, busy, idle] = await Promise.all(['step', 'loop', 'busy', 'idle'].map(endOf))
    for (const end of [step, loop]) {
      t.match(end, {
        code: null,
        signal: 'SIGKILL',
        said: 'alive\n',
        complained: /"level":60.*no step within the limit/,
      })
    }
    for (const end of [busy, idle]) t.match(end, { code: 0, signal: null, said: 'alive\nwell\n' })
  },
)
