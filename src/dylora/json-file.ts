/** JSON files checked by a schema, and the failures of reading files turned into those of whoever reads. */
import { readFile, writeFile } from 'node:fs/promises'
import { basename } from 'node:path'
import type { z } from 'zod'
import { FileFormatError } from './safetensors.ts'

/** Reads JSON into what the schema says; `fail` makes the error out of the reason, which names the file. */
export async function readJsonFile<Schema extends z.ZodType>(
  path: string,
  schema: Schema,
  fail: (reason: string) => Error,
): Promise<z.output<Schema>> {
  const text = await rethrowing(fail, () => readFile(path, 'utf8'))
  const complain = (reason: string) => fail(`${basename(path)}: ${reason}`)
  const parsed = schema.safeParse(parseJson(text, complain))
  if (!parsed.success) throw complain(issueText(parsed.error))
  return parsed.data
}

function parseJson(text: string, fail: (reason: string) => Error): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw fail(error instanceof Error ? error.message : String(error))
  }
}

/** The first complaint of a schema as `path: message`. */
export function issueText(error: z.ZodError): string {
  const [issue] = error.issues
  if (!issue) return error.message
  const path = issue.path.map(String).join('.')
  return path ? `${path}: ${issue.message}` : issue.message
}

/** Runs a read and turns a missing or malformed file into the caller's failure; bugs pass through. */
export async function rethrowing<T>(fail: (reason: string) => Error, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    if (error instanceof FileFormatError) throw fail(error.message)
    if (!(error instanceof Error && 'code' in error && 'path' in error)) throw error
    throw fail(error.code === 'ENOENT' ? `there is no ${basename(String(error.path))}` : error.message)
  }
}

/** Not atomic: for files inside a directory that is being published. */
export function writeJsonFile(path: string, value: unknown): Promise<void> {
  return writeFile(path, `${JSON.stringify(value, null, 2)}\n`)
}
