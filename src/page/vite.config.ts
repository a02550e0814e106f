/** Builds the page into dist/page, with each file compressed beside itself, so that the server only sends. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { defineConfig, type Plugin } from 'vite'

const here = fileURLToPath(new URL('.', import.meta.url))

const compressions = { br: brotliCompressSync, gz: gzipSync }

function precompressed(): Plugin {
  return {
    name: 'precompressed',
    apply: 'build',
    async writeBundle({ dir = '' }) {
      for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile()) continue
        const path = join(entry.parentPath, entry.name)
        const content = await readFile(path)
        for (const [extension, compress] of Object.entries(compressions)) {
          await writeFile(`${path}.${extension}`, compress(content))
        }
      }
    },
  }
}

export default defineConfig({
  root: here,
  // The page may be served below a path of a proxy.
  base: './',
  // What is not of the page is never looked at, such as files of the environment.
  envDir: false,
  publicDir: false,
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  plugins: [precompressed()],
  build: {
    outDir: fileURLToPath(new URL('../../dist/page', import.meta.url)),
    emptyOutDir: true,
    // The content security policy has no data: for scripts and styles.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
})
