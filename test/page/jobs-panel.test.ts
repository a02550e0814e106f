/** The panel of trainings in a real browser, over a real queue and worker. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import axe from 'axe-core'
import { pino } from 'pino'
import t from 'tap'
import { importCheckpoint } from '../../src/dylora/import.ts'
import { emptyStory, withEvent } from '../../src/page/job-story.ts'
import { JobService } from '../../src/server/job-service.ts'
import { testApp } from '../fixtures/app.ts'
import { buildPage } from '../fixtures/built-page.ts'
import { findChromium, launchChromium } from '../fixtures/chromium.ts'
import { fixturePath } from '../fixtures/golden.ts'

t.test('what a job told is gathered, and an attempt that goes on replaces what it tells again', async (t) => {
  const tell = (type: string, data: Record<string, unknown>) => ({ id: '1', type, data })
  const events = [
    tell('state', { state: 'running' }),
    tell('step', { step: 10, steps: 30, loss: 3, seconds_left: 9 }),
    tell('step', { step: 20, steps: 30, loss: 2.5, seconds_left: 4 }),
    tell('validation', { step: 20, loss_by_rank: { '0': 4, '1': 3 } }),
    tell('step', { step: 20, steps: 30, loss: 2.4, seconds_left: 5 }),
    tell('evaluation', { done: 3, total: 12 }),
    tell('written', { quality: { 'bleu at 1': 7 } }),
  ]
  t.same(events.reduce(withEvent, emptyStory), {
    ...{ step: 20, steps: 30, secondsLeft: null, evaluated: 0.25, quality: { 'bleu at 1': 7 } },
    losses: [
      { step: 10, loss: 3 },
      { step: 20, loss: 2.4 },
    ],
    validations: [{ step: 20, byRank: { '0': 4, '1': 3 } }],
  })
})

const executable = findChromium()
if (executable !== null) {
  t.test('a training is started, watched, cancelled, tried again and refused by its reason', async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'dylora-panel-'))
    const at = (...names: string[]) => join(directory, ...names)
    await importCheckpoint(fixturePath('gpt2'), at('bases', 'tiny'))
    const jobs = new JobService({
      ...{
        databaseUrl: undefined,
        jobsDirectory: at('jobs'),
        datasetsDirectory: undefined,
        deviceIds: [],
        retention: { seconds: 3600, jobs: 10 },
        bases: { basesDirectory: at('bases'), defaultBase: 'tiny' },
        dataLimitBytes: 100_000,
      },
      ...{ maxQueued: 10, workers: 1, log: pino({ level: 'silent' }) },
      program: {
        file: fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url)),
        execArgv: ['--import', 'tsx'],
      },
      environment: {
        ...{ PATH: process.env.PATH, LOG_LEVEL: 'silent', WORKER_THREADS: '1' },
        ...{ BASE_MODEL: at('bases', 'tiny'), ADAPTERS_DIR: at('adapters'), JOBS_DIR: at('jobs') },
      },
    })
    const { app } = await testApp(t, { app: { pageDirectory: await buildPage(t), jobs } })
    await app.listen({ port: 0 })
    const browser = await launchChromium(executable)
    t.teardown(async () => {
      await browser.close()
      await jobs.close()
      await rm(directory, { recursive: true, force: true })
    })
    const line = (i: number) => JSON.stringify({ context: `name : ${i}`, completion: ` ${i} is a pub .` })
    await writeFile(at('train.jsonl'), Array.from({ length: 40 }, (_, i) => line(i)).join('\n'))
    await writeFile(at('valid.jsonl'), Array.from({ length: 6 }, (_, i) => line(i)).join('\n'))

    // axe is put into the page, which its policy would not let in.
    const page = await browser.newPage({ bypassCSP: true, viewport: { width: 400, height: 900 } })
    page.on('pageerror', (error) => t.fail(error.message))
    await page.goto(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}/#jobs`)
    await page.getByText('No job was ever given.').waitFor()
    const start = async (name: string, epochs: string) => {
      await page.getByRole('button', { name: 'Train an adapter' }).click()
      await page.getByLabel('Name of the adapter').fill(name)
      await page.getByLabel('Data: JSON lines').setInputFiles(at('train.jsonl'))
      await page.getByLabel('Validation data').setInputFiles(at('valid.jsonl'))
      await page.getByLabel('Highest rank').fill('2')
      await page.getByLabel('Batch size').fill('4')
      await page.getByLabel('Epochs').fill(epochs)
      await page.getByRole('button', { name: 'Start' }).click()
    }
    await start('quick', '3')
    await page.getByText('Published: its curve is under').waitFor({ timeout: 60_000 })
    await page.getByRole('img', { name: /Loss of quick by step/ }).waitFor()
    await page.getByText(/Measured: bleu at 1 [\d.]+, bleu at 2 [\d.]+\./).waitFor()
    await page.getByText(/Validation loss after step 30: base [\d.]+, rank 1 [\d.]+, rank 2 [\d.]+\./).waitFor()
    t.match(await page.getByRole('row', { name: /^quick/ }).textContent(), /succeeded.*published [0-9a-f]{12}/)

    await page.addScriptTag({ content: axe.source })
    await page.getByRole('button', { name: 'Train an adapter' }).click()
    const serious = await page.evaluate(async () => {
      const { axe: here } = globalThis as unknown as {
        axe: { run(): Promise<{ violations: { id: string; impact: string }[] }> }
      }
      return (await here.run()).violations
        .filter(({ impact }) => ['serious', 'critical'].includes(impact))
        .map(({ id }) => id)
    })
    t.same(serious, [])
    t.ok(
      (await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0,
      'nothing sticks out at 400 px',
    )
    await page.getByRole('button', { name: 'Close' }).click()

    await start('long', '1000')
    await page
      .getByRole('status')
      .filter({ hasText: /step \d+ of 10000, .* left/ })
      .waitFor({ timeout: 60_000 })
    await page.getByRole('row', { name: /^long/ }).getByRole('button', { name: 'Cancel' }).click()
    await page.getByRole('row', { name: /^long.*cancelled/ }).waitFor()
    await page.getByRole('row', { name: /^long/ }).getByRole('button', { name: 'Try again' }).click()
    await page.getByRole('row', { name: /^long.*(queued|running)/ }).waitFor()
    await page.getByRole('row', { name: /^long/ }).getByRole('button', { name: 'Cancel' }).click()
    await page.getByRole('row', { name: /^long.*cancelled/ }).waitFor()

    await writeFile(at('train.jsonl'), `${line(1)}\n{"context": 1}\n`)
    await start('broken', '1')
    await page.getByRole('alert').getByText("File 'data' is not usable: line 2").waitFor()
  })
}
