/** The page in a real browser, over the real service. Without a Chromium, what needs none is still tested. */
import { readdir, stat } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import axe from 'axe-core'
import type { Browser, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { errors } from '../../src/errors.ts'
import type { Adapter } from '../../src/page/api.ts'
import { hashOf } from '../../src/server/access-keys.ts'
import type { AppOptions } from '../../src/server/app.ts'
import { noAccessControl } from '../../src/server/plugins/access.ts'
import { randomAdapter } from '../fixtures/adapters.ts'
import { quality, type TestApp, testApp } from '../fixtures/app.ts'
import { buildPage } from '../fixtures/built-page.ts'
import { findChromium, launchChromium } from '../fixtures/chromium.ts'
import { adapterOf } from '../fixtures/engine.ts'

const pageDirectory = await buildPage(t)
const inputs = 'name : The Vaults'

/** Points that a LoRA trained for one rank reached, as an adapter may carry them. */
const baselines = [
  { ...quality[0]!, primary: false, method: 'lora' as const, value: 51.25, ci95: null },
  { ...quality[6]!, primary: false, method: 'lora' as const, value: 60.5, ci95: null },
]

async function start(t: Test, port = 0, more: Partial<AppOptions> = {}): Promise<TestApp & { url: string }> {
  const tested = await testApp(t, { app: { pageDirectory, ...more } })
  const { engine, app } = tested
  await engine.registry.add({ ...adapterOf(engine, 'e2e'), baselines })
  await app.listen({ port })
  return { ...tested, url: `http://127.0.0.1:${(app.server.address() as AddressInfo).port}` }
}

t.test('the page is sent compressed, with a strict policy, and is small', async (t) => {
  const { app } = await testApp(t, { app: { pageDirectory } })
  const reply = await app.inject({ url: '/', headers: { 'accept-encoding': 'gzip, deflate, br' } })
  t.equal(reply.statusCode, 200)
  t.match(reply.headers, { 'content-type': /text\/html/, 'content-encoding': 'br', 'cache-control': 'no-cache' })
  const policy = String(reply.headers['content-security-policy'])
  t.match(policy, /default-src 'none'.*script-src 'self'.*frame-ancestors 'none'/)
  t.notMatch(policy, /unsafe|data:|\*|http/)
  const plain = await app.inject({ url: '/' })
  t.equal(plain.headers['content-encoding'], undefined)
  for (const [, path] of plain.body.matchAll(/(?:src|href)="\.\/(assets\/[^"]+)"/g)) {
    const asset = await app.inject({ url: `/${path}`, headers: { 'accept-encoding': 'br' } })
    t.match(asset, { statusCode: 200, headers: { 'cache-control': /immutable/, 'x-content-type-options': 'nosniff' } })
  }
  const files = await readdir(pageDirectory, { recursive: true })
  const compressed = files.filter((file) => file.endsWith('.gz'))
  const sizes = await Promise.all(compressed.map(async (file) => (await stat(join(pageDirectory, file))).size))
  t.ok(sizes.length >= 4, 'a document, a script, a style and an icon')
  const bytes = sizes.reduce((sum, size) => sum + size, 0)
  t.ok(bytes < 60_000, `${bytes} bytes`)
})

t.test('nothing beside the page is sent, and JSON routes stay', async (t) => {
  const { app, post } = await testApp(t, { app: { pageDirectory } })
  for (const url of ['/index.html.br', '/assets/', '/..%2f..%2fpackage.json', '/package.json'])
    t.equal((await app.inject({ url })).statusCode, 404, url)
  t.match((await app.inject({ url: '/adapters' })).json(), { adapters: [{ id: 'e2e' }, { id: 'other' }] })
  const posted = await post('/', { inputs, parameters: { max_new_tokens: 2 } })
  t.match(posted, { statusCode: 200, headers: { 'content-type': /json/ } }, 'POST / is for clients, as before')
})

t.test('without a built page, / leads to the documentation', async (t) => {
  for (const directory of [null, join(pageDirectory, 'assets')]) {
    const { app } = await testApp(t, { app: { pageDirectory: directory } })
    t.match(await app.inject({ url: '/' }), { statusCode: 302, headers: { location: '/docs' } })
  }
})

const executable = findChromium()
if (executable !== null) await inBrowser(executable)

async function inBrowser(path: string): Promise<void> {
  const browser = await launchChromium(path)
  t.teardown(() => browser.close())
  t.test('curves appear with the numbers that the API gives', (t) => curves(t, browser))
  t.test('four ranks stream side by side from one prompt', (t) => sideBySide(t, browser))
  t.test('a refused request shows its reason', (t) => refused(t, browser))
  t.test('load, and adapters that come, are refused and go', (t) => live(t, browser))
  t.test('a server that is lost and comes back', (t) => lostAndBack(t, browser))
  t.test('a key is kept for the tab and sent as a header only', (t) => key(t, browser))
  t.test('it can be used by keyboard', (t) => keyboard(t, browser))
  t.test('axe finds no serious fault', (t) => accessible(t, browser))
  t.test('no adapter, and one of 64 ranks', (t) => extremes(t, browser))
}

/** A page that fails the test for what goes wrong in it, and for what it asks elsewhere. */
async function open(t: Test, browser: Browser, url: string, hash = '', expected = /^$/): Promise<Page> {
  const page = await browser.newPage()
  t.teardown(() => page.close())
  page.on('pageerror', (error) => t.fail(error.message))
  page.on('console', (message) => {
    if (message.type() === 'error' && !expected.test(message.text())) t.fail(message.text())
  })
  page.on('request', (request) => {
    if (!request.url().startsWith(url)) t.fail(`it asks ${request.url()}`)
  })
  await page.goto(`${url}/${hash}`)
  return page
}

const cells = async (page: Page, row: string): Promise<string[]> =>
  page
    .getByRole('row', { name: new RegExp(`^${row}\\b`) })
    .getByRole('cell')
    .allTextContents()

/** How much of a chart is drawn in the first line's colour. */
const drawnShare = (page: Page, name: RegExp): Promise<number> =>
  page
    .getByRole('img', { name })
    .locator('canvas')
    .evaluate((canvas: HTMLCanvasElement) => {
      const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height)
      let drawn = 0
      for (let i = 0; i < data.length; i += 4) if (data[i + 2]! > 180 && data[i]! < 80 && data[i + 3]! > 200) drawn++
      return drawn / (data.length / 4)
    })

async function curves(t: Test, browser: Browser): Promise<void> {
  const { url, post } = await start(t)
  await post('/generate?rank=4', { inputs, parameters: { max_new_tokens: 5 } })
  const page = await open(t, browser, url)
  await page.getByRole('table').waitFor()
  const { ranks, auto } = (await (await fetch(`${url}/adapters/e2e`)).json()) as Adapter
  for (const { rank, parameters, quality: points, latency } of ranks) {
    const [value, lora, count] = await cells(page, rank === 0 ? 'base' : String(rank))
    const point = points.find(({ split }) => split === 'validation')
    t.equal(
      value,
      point === undefined ? '–' : `${point.value.toFixed(2)} [${point.ci95?.map((end) => end.toFixed(2)).join(', ')}]`,
    )
    t.equal(lora, rank === 1 ? '51.25' : rank === 4 ? '60.50' : '–')
    t.equal(count, parameters.toLocaleString('en'))
    t.equal(latency.inter_token_ms.count, rank === 4 ? 4 : 0)
  }
  t.match((await cells(page, '4')).at(-1), /n=4$/, 'the count stands behind the percentiles')
  t.match(await page.getByRole('row', { name: /auto/ }).textContent(), new RegExp(`^${auto?.rank}\\s*auto`))
  await page.getByText(`auto takes rank ${auto?.rank}: the smallest whose BLEU`).waitFor()
  t.ok((await drawnShare(page, /^BLEU .*from 50.00 at rank 1 to 60.00 at rank 8/)) > 0.002, 'the curve is drawn')
  t.ok((await drawnShare(page, /^Time to first token/)) > 0.0001, 'and so is the latency')
  await page.getByText('LoRA trained for that rank alone').waitFor()
  await page
    .getByRole('img', { name: /^BLEU/ })
    .locator('.u-over')
    .hover({ position: { x: 1, y: 50 } })
  await page.getByText('rank 1: e2e 50.00 · LoRA trained for that rank alone 51.25').waitFor()
  await page.getByRole('slider').fill('0.9')
  await page.getByText('auto takes rank 2: the smallest').waitFor()
  await page.getByLabel('Metric').selectOption({ label: 'BLEU · e2e, test' })
  t.match(await cells(page, '1'), ['50.00 [49.00, 51.00]', '–'].slice(0, 1))
  await page.getByLabel('Compare with').selectOption('other')
  await page.getByText('other was not measured on this').waitFor()
  await page.getByRole('combobox', { name: 'Adapter', exact: true }).selectOption('other')
  await page.getByText('auto takes rank 3, the highest: this adapter carries no validation curve.').waitFor()
}

async function sideBySide(t: Test, browser: Browser): Promise<void> {
  const { url, post } = await start(t)
  const page = await open(t, browser, url, '#playground')
  await page.getByRole('textbox', { name: 'Prompt' }).fill(inputs)
  await page.getByLabel('Most new tokens').fill('50')
  await page.getByRole('button', { name: 'Generate at 4 ranks' }).click()
  const cards = page.getByRole('article')
  await page.waitForFunction(() => document.querySelectorAll('article[aria-busy=false]').length === 4)
  t.same(await cards.evaluateAll((all) => all.map((card) => card.getAttribute('aria-label'))), [
    ...['base model', 'rank 1', 'rank 4', 'rank max'],
  ])
  const texts = await cards.locator('.text').evaluateAll((all) => all.map((text) => text.textContent))
  const answers = await Promise.all(
    ['base', '1', '4', 'max'].map(async (rank) => {
      const reply = await post(`/generate?rank=${rank}&adapter_id=e2e`, { inputs, parameters: { max_new_tokens: 50 } })
      return reply.json<{ generated_text: string }>().generated_text.trimStart()
    }),
  )
  t.same(texts, answers, 'each shows what its rank answers')
  const top = new Set((answers[3] ?? '').split(/\s+/))
  const marks = await cards.nth(1).locator('mark').allTextContents()
  const strange = (answers[1] ?? '').split(/\s+/).filter((word) => word !== '' && !top.has(word))
  t.ok(
    strange.every((word) => marks.includes(word)),
    'words that the top rank does not have are marked',
  )
  t.equal(await cards.nth(3).locator('mark').count(), 0)
  const metrics = await (await fetch(`${url}/metrics`)).text()
  const [, sum] = /^dylora_batch_distinct_ranks_sum (\S+)/m.exec(metrics) ?? []
  const [, steps] = /^dylora_batch_distinct_ranks_count (\S+)/m.exec(metrics) ?? []
  t.ok(Number(sum) > Number(steps), 'ranks shared steps')
  t.match(await page.locator('pre').textContent(), /curl -N 'http.*rank=max&adapter_id=e2e'/)
  await page.getByLabel('Temperature').fill('0.8')
  t.match(await page.locator('pre').textContent(), /"temperature": 0.8,[^}]*"seed": 42/)
  await page.getByLabel('For').selectOption('TGI client (JavaScript)')
  t.match(await page.locator('pre').textContent(), /client\.request/)
}

async function refused(t: Test, browser: Browser): Promise<void> {
  const { url, post } = await start(t)
  const page = await open(t, browser, url, '#playground', /422/)
  const long = 'name : '.repeat(60)
  await page.getByRole('textbox', { name: 'Prompt' }).fill(long)
  await page.getByRole('button', { name: /Generate/ }).click()
  const reply = await post('/generate?rank=4', { inputs: long, parameters: { max_new_tokens: 60 } })
  const { detail } = reply.json<{ detail: string }>()
  t.equal(reply.statusCode, 422)
  t.equal(
    await page.getByRole('article', { name: 'rank 4' }).getByRole('alert').textContent(),
    `Refused (422): ${detail}`,
  )
  await page.getByRole('textbox', { name: 'Prompt' }).fill(inputs)
  await page.getByLabel('Most new tokens').fill('5')
  await page.getByRole('button', { name: /Generate/ }).click()
  await page.waitForFunction(() => document.querySelectorAll('article[aria-busy=false] .text').length === 4)
  t.equal(await page.getByRole('article').getByRole('alert').count(), 0, 'and the next one is answered')
}

async function live(t: Test, browser: Browser): Promise<void> {
  const { url, engine, adapter, post } = await start(t)
  const page = await open(t, browser, url, '#live')
  await page.getByText(/e2e serves [0-9a-f]{12}/).waitFor()
  const more = await adapter('third', randomAdapter(3, 2))
  await engine.registry.add(more)
  engine.registry.refuse('broken', errors.adapterInvalid('broken', 'there are no factors'))
  await page.getByText(/third serves/).waitFor()
  await page.getByText(/broken was refused:.*there are no factors/).waitFor()
  t.match(await page.getByRole('row', { name: /^broken/ }).textContent(), /refused[\s\S]*there are no factors/)
  engine.registry.remove('third')
  await page.getByText(/third is gone/).waitFor()
  t.equal(await page.getByRole('row', { name: /^third/ }).count(), 0)
  const generated = page.locator('figure', { hasText: 'Tokens a second' }).locator('dd')
  t.equal(await generated.textContent(), '0')
  await Promise.all(
    [1, 2, 4].map((rank) => post(`/generate?rank=${rank}`, { inputs, parameters: { max_new_tokens: 40 } })),
  )
  await page.waitForFunction(() =>
    [...document.querySelectorAll('figure')].some(
      (figure) =>
        figure.textContent?.includes('Tokens a second') && Number(figure.querySelector('dd')?.textContent) > 1,
    ),
  )
}

async function lostAndBack(t: Test, browser: Browser): Promise<void> {
  const first = await start(t)
  const page = await open(t, browser, first.url, '', /ERR_|Failed to load/)
  await page.getByRole('table').waitFor()
  const { port } = first.app.server.address() as AddressInfo
  await first.app.close()
  await page.getByRole('alert').getByText('The server does not answer').waitFor()
  t.ok(await page.getByRole('table').isVisible(), 'what was known is still shown')
  await start(t, port)
  await page.getByRole('alert').waitFor({ state: 'detached' })
  await page.getByText('connected', { exact: true }).or(page.getByText('● connected')).first().waitFor()
  t.match(await cells(page, '1'), [/^50\.00/])
}

async function key(t: Test, browser: Browser): Promise<void> {
  const keys = [{ name: 'somebody', sha256: hashOf('sesame'), admin: false }]
  const { url } = await start(t, 0, { access: { ...noAccessControl, keys: () => keys } })
  const page = await browser.newPage()
  t.teardown(() => page.close())
  const sent: (string | undefined)[] = []
  page.on('request', (request) => sent.push(request.headers().authorization))
  await page.goto(url)
  await page.getByRole('alert').getByText('This needs an API key').waitFor()
  await page.evaluate(() => {
    new MutationObserver(() => {
      if (document.querySelector('[role=alert]') === null) document.body.setAttribute('data-unlocked', '')
    }).observe(document.body, { childList: true, subtree: true })
  })
  for (let i = 0; i < 2; i++) await page.waitForResponse(/\/metrics/)
  t.equal(await page.locator('[data-unlocked]').count(), 0, 'what is open to all unlocks nothing')
  await page.getByRole('button', { name: 'API key' }).click()
  await page.getByLabel('API key').and(page.locator('input')).fill('sesame')
  await page.getByRole('button', { name: 'Use it' }).click()
  await page.getByRole('table').waitFor()
  t.equal(await page.getByRole('alert').count(), 0)
  t.ok(sent.includes('Bearer sesame'))
  t.notOk(sent[0], 'nothing is sent before')
  t.notMatch(page.url(), /sesame/)
  t.same(await page.evaluate(() => [sessionStorage.length, localStorage.length, document.cookie]), [1, 0, ''])
  await page.getByRole('button', { name: 'API key: given' }).click()
  await page.getByRole('button', { name: 'Forget it' }).click()
  await page.getByRole('alert').getByText('This needs an API key').waitFor()
}

async function keyboard(t: Test, browser: Browser): Promise<void> {
  const { url } = await start(t)
  const page = await open(t, browser, url)
  await page.getByRole('table').waitFor()
  await page.keyboard.press('Tab')
  t.equal(await page.evaluate(() => document.activeElement?.textContent), 'Ranks')
  await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'The same prompt at several ranks' }).waitFor()
  await page.getByRole('textbox', { name: 'Prompt' }).focus()
  await page.keyboard.press('ControlOrMeta+A')
  await page.keyboard.type(inputs)
  await page.getByRole('checkbox', { name: 'base' }).focus()
  await page.keyboard.press('Space')
  await page.getByLabel('Most new tokens').fill('5')
  await page.keyboard.press('Enter')
  await page.waitForFunction(() => document.querySelectorAll('article[aria-busy=false]').length === 3)
}

interface Violation {
  readonly id: string
  readonly impact: string
  readonly nodes: readonly { readonly html: string }[]
}

async function accessible(t: Test, browser: Browser): Promise<void> {
  const { url } = await start(t)
  for (const [colorScheme, width] of [
    ['light', 1280],
    ['dark', 1280],
    ['light', 400],
    ['dark', 400],
  ] as const) {
    // The tool itself is put into the page, which its policy would not let in.
    const page = await browser.newPage({ bypassCSP: true, colorScheme, viewport: { width, height: 900 } })
    t.teardown(() => page.close())
    await page.goto(url)
    await page.addScriptTag({ content: axe.source })
    for (const panel of ['Ranks', 'Playground', 'Live']) {
      await page.getByRole('link', { name: panel, exact: true }).click()
      if (panel === 'Playground') {
        await page.getByRole('textbox', { name: 'Prompt' }).fill(inputs)
        await page.getByLabel('Most new tokens').fill('20')
        await page.getByRole('button', { name: /Generate/ }).click()
        await page.getByText('words are not in the text of the highest rank').waitFor()
      } else await page.getByRole('table').first().waitFor()
      const violations = await page.evaluate(async () => {
        const { axe: here } = globalThis as unknown as { axe: { run(): Promise<{ violations: Violation[] }> } }
        return (await here.run()).violations
      })
      const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
      t.same(
        serious.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`),
        [],
        `${panel}, ${colorScheme}, ${width} px`,
      )
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
      t.ok(overflow <= 0, `nothing sticks out of ${panel} at ${width} px`)
    }
  }
}

async function extremes(t: Test, browser: Browser): Promise<void> {
  const { url, engine, adapter } = await start(t)
  engine.registry.remove('other')
  engine.registry.remove('e2e')
  const page = await open(t, browser, url)
  await page.getByText('No adapter serves here yet').waitFor()
  await engine.registry.add(await adapter('wide', randomAdapter(4, 64)))
  await page.getByText('wide: ranks 1 to 64').waitFor()
  t.equal(await page.getByRole('table').getByRole('row').count(), 66, 'a heading, the base and every rank')
  await page.getByRole('link', { name: 'Playground', exact: true }).click()
  t.same(await page.getByRole('checkbox').count(), 10, 'base, powers of two, max and auto')
  await page.getByLabel('another').fill('37')
  await page.keyboard.press('Tab')
  t.ok(await page.getByRole('checkbox', { name: '37' }).isChecked())
}
