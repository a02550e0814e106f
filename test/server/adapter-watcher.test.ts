import { cp, mkdir, readFile, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { directoryStore } from '../../src/dylora/store/directory-store.ts'
import { type AdapterSink, AdapterWatcher } from '../../src/server/adapter-watcher.ts'

/** Serves whatever `weights` says; a file that does not end with a full stop cannot be read. */
class Shelf implements AdapterSink<string> {
  readonly served = new Map<string, string>()
  readonly refused = new Map<string, string>()
  readonly history: string[] = []

  async read(directory: string): Promise<string> {
    const text = await readFile(join(directory, 'weights'), 'utf8').catch(() => '')
    await sleep(5)
    if (!text.endsWith('.')) throw new Error('cut off')
    return text
  }

  async take(name: string, text: string): Promise<void> {
    await sleep(5)
    this.served.set(name, text)
    this.refused.delete(name)
    this.history.push(`take ${name} ${text}`)
  }

  refuse(name: string, error: unknown): void {
    this.refused.set(name, String(error))
    this.history.push(`refuse ${name}`)
  }

  remove(name: string): void {
    this.served.delete(name)
    this.refused.delete(name)
    this.history.push(`remove ${name}`)
  }
}

async function setup(t: Test, files: Record<string, string | Record<string, string>> = {}) {
  const directory = t.testdir(files)
  const shelf = new Shelf()
  const warnings: unknown[] = []
  const watcher = new AdapterWatcher({
    store: directoryStore(directory, { keptVersions: 0, pinned: [] }),
    sink: shelf,
    warn: (error) => warnings.push(error),
    settleMs: 60,
    rescanMs: 400,
  })
  t.teardown(() => watcher.close())
  await watcher.start()
  return { directory, shelf, watcher, warnings }
}

/** Waits until the condition holds; fails the test when it never does. */
async function eventually(t: Test, condition: () => boolean, message: string): Promise<void> {
  for (let tries = 0; tries < 400 && !condition(); tries++) await sleep(25)
  t.ok(condition(), message)
}

t.test('reads every adapter that is there when it starts', async (t) => {
  const { shelf } = await setup(t, {
    one: { weights: 'a.' },
    two: { weights: 'b.' },
    '.writing': { weights: 'c.' },
    note: 'text',
  })
  t.same(
    [...shelf.served],
    [
      ['one', 'a.'],
      ['two', 'b.'],
    ],
  )
  t.same([...shelf.refused], [])
})

t.test('serves a directory that is renamed into place', async (t) => {
  const { directory, shelf } = await setup(t)
  await mkdir(join(directory, '.new.writing'))
  await writeFile(join(directory, '.new.writing', 'weights'), 'new.')
  await rename(join(directory, '.new.writing'), join(directory, 'new'))
  await eventually(t, () => shelf.served.get('new') === 'new.', 'it serves')
})

t.test('waits for a copy that takes its time, and never judges the half of it', async (t) => {
  const { directory, shelf } = await setup(t)
  await mkdir(join(directory, 'slow'))
  for (const part of ['a', 'b', 'c', 'd', 'e', '.']) {
    await writeFile(join(directory, 'slow', 'weights'), part, { flag: 'a' })
    await sleep(25)
  }
  await eventually(t, () => shelf.served.get('slow') === 'abcde.', 'it serves')
  t.same(shelf.history, ['take slow abcde.'])
})

t.test('takes a copy that stopped half-way up again when it goes on', async (t) => {
  const { directory, shelf } = await setup(t)
  await mkdir(join(directory, 'paused'))
  await writeFile(join(directory, 'paused', 'weights'), 'half')
  await eventually(t, () => shelf.refused.has('paused'), 'the half is refused')
  await writeFile(join(directory, 'paused', 'weights'), ' and whole.', { flag: 'a' })
  await eventually(t, () => shelf.served.get('paused') === 'half and whole.', 'the whole serves')
  t.notOk(shelf.refused.has('paused'))
})

t.test('refuses a bad version with its reason while the old one goes on serving', async (t) => {
  const { directory, shelf } = await setup(t, { good: { weights: 'good.' } })
  await writeFile(join(directory, 'good', 'weights'), 'corrupted')
  await eventually(t, () => shelf.refused.has('good'), 'the new one is refused')
  t.match(shelf.refused.get('good'), /cut off/)
  t.equal(shelf.served.get('good'), 'good.')
})

t.test('notices a change that keeps size and time', async (t) => {
  const { directory, shelf } = await setup(t, { same: { weights: 'old.' } })
  const file = join(directory, 'same', 'weights')
  await utimes(file, 1000, 1000)
  await writeFile(`${file}.tmp`, 'new.')
  await utimes(`${file}.tmp`, 1000, 1000)
  await rename(`${file}.tmp`, file)
  await eventually(t, () => shelf.served.get('same') === 'new.', 'the new one serves')
})

t.test('removes what vanishes, but not what is replaced by renaming', async (t) => {
  const { directory, shelf } = await setup(t, { gone: { weights: 'a.' }, kept: { weights: 'b.' } })
  await cp(join(directory, 'kept'), join(directory, '.kept.writing'), { recursive: true })
  await rename(join(directory, 'kept'), join(directory, '.kept.replaced'))
  await rename(join(directory, '.kept.writing'), join(directory, 'kept'))
  await rm(join(directory, 'gone'), { recursive: true })
  await eventually(t, () => !shelf.served.has('gone'), 'it is gone')
  t.notOk(shelf.history.includes('remove kept'))
})

t.test('finds adapters without being told of them, and follows links', async (t) => {
  const { directory, shelf } = await setup(t)
  const store = `${directory}-store`
  await mkdir(join(store, 'far'), { recursive: true })
  t.teardown(() => rm(store, { recursive: true, force: true }))
  await writeFile(join(store, 'far', 'weights'), 'far.')
  await symlink(join(store, 'far'), join(directory, 'far'))
  await eventually(t, () => shelf.served.get('far') === 'far.', 'the linked one serves')
  await writeFile(join(store, 'far', 'weights'), 'farther.')
  await eventually(t, () => shelf.served.get('far') === 'farther.', 'its change is seen')
})

t.test('starts with a directory that is not there yet', async (t) => {
  const { directory, shelf, warnings } = await setup(t)
  const missing = join(directory, 'later')
  const watcher = new AdapterWatcher({
    store: directoryStore(missing, { keptVersions: 0, pinned: [] }),
    sink: shelf,
    warn: (error) => warnings.push(error),
    settleMs: 60,
    rescanMs: 200,
  })
  t.teardown(() => watcher.close())
  await watcher.start()
  await mkdir(join(missing, 'x'), { recursive: true })
  await writeFile(join(missing, 'x', 'weights'), 'x.')
  await eventually(t, () => shelf.served.get('x') === 'x.', 'it is found once it is')
  t.same(warnings, [])
})

t.test('closes twice, and tells nothing afterwards', async (t) => {
  const { directory, shelf, watcher } = await setup(t)
  await watcher.close()
  await watcher.close()
  await mkdir(join(directory, 'late'))
  await writeFile(join(directory, 'late', 'weights'), 'late.')
  await sleep(200)
  t.same(shelf.history, [])
})
