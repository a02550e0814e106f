/** Files and directories that appear whole or not at all. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { publishDirectory, publishFile } from '../../src/dylora/publish.ts'

/** The id of a process that has ended. */
const deadPid = spawnSync(process.execPath, ['-e', '']).pid

const fill = (text: string) => (directory: string) => writeFile(join(directory, 'file'), text)

t.test('a directory is made with its parents, and replaced', async (t) => {
  const parent = join(t.testdir(), 'some', 'where')
  await publishDirectory(join(parent, 'a'), fill('one'))
  await publishDirectory(join(parent, 'a'), fill('two'))
  t.equal(readFileSync(join(parent, 'a', 'file'), 'utf8'), 'two')
  t.strictSame(readdirSync(parent), ['a'])
})

t.test('while it is written, its name starts with a dot; when writing fails, the old one stays', async (t) => {
  const parent = t.testdir({ a: { file: 'old' } })
  await t.rejects(
    publishDirectory(join(parent, 'a'), async (directory) => {
      await fill('new')(directory)
      t.ok(readdirSync(parent).every((name) => name === 'a' || name.startsWith('.a.writing-')))
      throw new Error('disk full')
    }),
    { message: 'disk full' },
  )
  t.equal(readFileSync(join(parent, 'a', 'file'), 'utf8'), 'old')
  t.strictSame(readdirSync(parent), ['a'])
})

t.test('what killed writers left is removed by the next one; the work of others is not', async (t) => {
  const [host, parent] = [hostname(), t.testdir()]
  const abandoned = [`.a.writing-${host}-${deadPid}-00000001`, `.a.replaced-${host}-${process.pid}-00000002`]
  const running = [
    `.a.writing-${host}-${process.ppid}-00000003`,
    '.a.writing-another.host-1-00000004',
    `.b.writing-${host}-${deadPid}-00000005`,
    '.a.note',
  ]
  mkdirSync(join(parent, 'a'))
  for (const name of [...abandoned, ...running]) mkdirSync(join(parent, name))
  await publishDirectory(join(parent, 'a'), fill('one'))
  t.strictSame(readdirSync(parent).sort(), [...running, 'a'].sort())
})

t.test('a writer that is killed leaves the old one in place, and its successor cleans up', async (t) => {
  const parent = t.testdir({ a: { file: 'old' } })
  const source = `
    import { writeFileSync } from 'node:fs'
    import { publishDirectory } from ${JSON.stringify(new URL('../../src/dylora/publish.ts', import.meta.url).href)}
    await publishDirectory(${JSON.stringify(join(parent, 'a'))}, async (directory) => {
      writeFileSync(directory + '/file', 'half')
      process.kill(process.pid, 'SIGKILL')
    })`
  const { signal } = spawnSync(process.execPath, ['--import=tsx', '--input-type=module', '-e', source])
  t.equal(signal, 'SIGKILL')
  t.equal(readFileSync(join(parent, 'a', 'file'), 'utf8'), 'old')
  t.match(readdirSync(parent).sort(), [/^\.a\.writing-/, 'a'])
  await publishDirectory(join(parent, 'a'), fill('new'))
  t.strictSame(readdirSync(parent), ['a'])
})

t.test('leftovers of another machine are removed when they are old', async (t) => {
  const parent = t.testdir()
  const old = join(parent, '.a.writing-another-host-1-00000004')
  mkdirSync(old)
  utimesSync(old, 0, 0)
  await publishDirectory(join(parent, 'a'), fill('one'))
  t.notOk(existsSync(old))
})

t.test('an adapter moved aside by a writer that was killed comes back when its successor fails', async (t) => {
  const parent = t.testdir()
  const aside = join(parent, `.a.replaced-${hostname()}-${deadPid}-00000001`)
  mkdirSync(aside)
  writeFileSync(join(aside, 'file'), 'old')
  await t.rejects(publishDirectory(join(parent, 'a'), () => Promise.reject(new Error('no'))))
  t.equal(readFileSync(join(parent, 'a', 'file'), 'utf8'), 'old')
})

t.test('two writers of one directory at once: one of them is there in the end, whole', async (t) => {
  const parent = t.testdir()
  const results = await Promise.allSettled(
    ['x', 'y', 'z'].map((text) => publishDirectory(join(parent, 'a'), fill(text))),
  )
  t.ok(results.some(({ status }) => status === 'fulfilled'))
  t.match(readFileSync(join(parent, 'a', 'file'), 'utf8'), /^[xyz]$/)
})

t.test('a file is replaced, or kept when writing fails', async (t) => {
  const path = join(t.testdir({ file: 'old' }), 'file')
  await t.rejects(publishFile(path, () => Promise.reject(new Error('no'))))
  t.equal(readFileSync(path, 'utf8'), 'old')
  await publishFile(path, async (handle) => {
    await handle.write('new')
  })
  t.equal(readFileSync(path, 'utf8'), 'new')
})
