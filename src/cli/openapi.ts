/** `dylora openapi`: writes the OpenAPI document, which a test compares with the routes. */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { openApiDocument } from '../server/openapi-document.ts'
import { packageVersion } from './package-version.ts'

const committed = fileURLToPath(new URL('../../openapi/openapi.json', import.meta.url))

export async function run(args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options: { out: { type: 'string', default: committed } } })
  await mkdir(dirname(values.out), { recursive: true })
  await writeFile(values.out, `${JSON.stringify(await openApiDocument(packageVersion()), null, 2)}\n`)
  console.log(`Wrote ${values.out}`)
  return 0
}
