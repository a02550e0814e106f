/** `npm run screenshots`: the README's pictures of the page, of the built service with its bundled models. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright-core'
import { findChromium, launchChromium } from '../fixtures/chromium.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const pictures = join(root, 'docs/page')
const inputs = 'name : Blue Spice | Type : coffee shop | area : riverside | near : Rainbow Vegetarian Café'

const executable = findChromium()
if (executable === null) throw new Error('expected chromium or google-chrome on the PATH')
const server = spawn(process.execPath, ['dist/cli/main.js', 'serve'], {
  cwd: root,
  env: { ...process.env, PORT: '0', HOST: '127.0.0.1' },
  stdio: ['ignore', 'pipe', 'inherit'],
})
try {
  const url = await addressOf(server.stdout)
  await load(url)
  await mkdir(pictures, { recursive: true })
  await photograph(url, await launchChromium(executable))
} finally {
  server.kill()
  await once(server, 'exit')
}

/** Read from the log. */
async function addressOf(log: AsyncIterable<Buffer>): Promise<string> {
  let text = ''
  for await (const piece of log) {
    text += piece
    const [, url] = /listening at (http:\S+?)"/.exec(text) ?? []
    if (url !== undefined) return url
  }
  throw new Error(`the server did not start: ${text}`)
}

/** Some requests at every rank, so that there are latencies to show. */
async function load(url: string): Promise<void> {
  const ranks = ['base', ...Array.from({ length: 8 }, (_, i) => String(i + 1))]
  for (let round = 0; round < 36; round++) {
    // Who comes first waits least, so that each rank has its turn.
    const first = round % ranks.length
    await Promise.all(
      [...ranks.slice(first), ...ranks.slice(0, first)].map((rank) =>
        fetch(`${url}/generate?rank=${rank}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ inputs, parameters: { max_new_tokens: 20 } }),
        }),
      ),
    )
  }
}

async function photograph(url: string, browser: Awaited<ReturnType<typeof launchChromium>>): Promise<void> {
  const page = await browser.newPage({ viewport: { width: 1100, height: 700 } })
  await page.goto(url)
  await page.getByRole('table').waitFor()
  await picture(page, 'ranks')
  await page.goto(`${url}/#playground`)
  await page.getByRole('textbox', { name: 'Prompt' }).fill(inputs)
  await page.getByRole('button', { name: /Generate/ }).click()
  await page.waitForFunction(() => document.querySelectorAll('article[aria-busy=false]').length === 4)
  await picture(page, 'playground')
  await browser.close()
}

async function picture(page: Page, name: string): Promise<void> {
  await page.waitForTimeout(500)
  await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true })
}
