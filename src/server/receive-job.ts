/** A job as a client sends it: its JSON and its files, checked and on disk before it waits. */
import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { copyFile, mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { MultipartFile } from '@fastify/multipart'
import type { FastifyRequest } from 'fastify'
import { exists } from '../dylora/publish.ts'
import { DyloraError, errors } from '../errors.ts'
import { type Checked, checkData, checkSpec } from '../jobs/check.ts'
import { isStorageFull } from '../jobs/database.ts'
import { type Job, JobSpec } from '../jobs/job.ts'
import { type JobPlaces, jobPlaces, uploadPlaces } from '../jobs/places.ts'
import type { JobService } from './job-service.ts'

/** Puts a job into the queue, or leaves nothing behind. */
export async function receiveJob(request: FastifyRequest, service: JobService): Promise<Job> {
  const id = randomUUID()
  const { jobsDirectory, maxQueued } = service.options
  const received = uploadPlaces(jobsDirectory, id)
  const { directory } = jobPlaces(jobsDirectory, id)
  try {
    await mkdir(received.directory, { recursive: true })
    const { spec, checked } = await (request.isMultipart() ? formOf : bodyOf)(request, received, service)
    await checkData(spec, received, checked, await service.tokenizer(checked.base.directory))
    // Only what is whole has the name by which workers and retention know it.
    await rename(received.directory, directory)
    return await (await service.queue()).submit(id, spec, maxQueued)
  } catch (error) {
    for (const path of [received.directory, directory]) await rm(path, { recursive: true, force: true }).catch(() => {})
    throw asClientsSeeIt(error, received.directory)
  }
}

interface Received {
  readonly spec: JobSpec
  readonly checked: Checked
}

async function bodyOf(request: FastifyRequest, places: JobPlaces, service: JobService): Promise<Received> {
  const received = await specOf(request.body, service)
  await takeDataset(received.spec, places, service.options.datasetsDirectory)
  return received
}

/** Where the job comes first, as documented, what is wrong with it is told before its files are read. */
async function formOf(request: FastifyRequest, places: JobPlaces, service: JobService): Promise<Received> {
  let received: Received | null = null
  const taken = new Set<string>()
  for await (const part of request.parts()) {
    const { fieldname: name } = part
    if (taken.has(name)) throw errors.validation(`The form has '${name}' twice: expected it once`)
    taken.add(name)
    if (part.type === 'field' && name === 'job') received = await specOf(jsonOf(String(part.value)), service)
    else if (part.type === 'file' && name === 'data') await receiveFile(part, places.train)
    else if (part.type === 'file' && name === 'validation') await receiveFile(part, places.validation)
    else throw errors.validation(`The form has ${part.type} '${name}': expected field job, files data and validation`)
  }
  if (received === null) throw errors.validation('The form has no job: expected its JSON in the field `job`')
  if (received.spec.dataset !== undefined)
    throw errors.validation('There is a dataset and an upload: expected one of them')
  if (!taken.has('data')) throw errors.validation('The form has no data: expected JSON lines in the file `data`')
  return received
}

async function receiveFile({ file, fieldname }: MultipartFile, path: string): Promise<void> {
  await pipeline(file, createWriteStream(path))
  if (file.truncated) throw errors.tooLarge(`${fieldname} is larger than JOB_DATA_LIMIT allows`)
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw errors.validation('job: expected JSON', { errors: [{ detail: 'expected JSON', pointer: '#/job' }] })
  }
}

async function specOf(body: unknown, service: JobService): Promise<Received> {
  const spec = parseSpec(body)
  return { spec, checked: await checkSpec(spec, service.options.bases) }
}

function parseSpec(body: unknown): JobSpec {
  const parsed = JobSpec.safeParse(body)
  if (parsed.success) return parsed.data
  const mistakes = parsed.error.issues.slice(0, 20).flatMap((issue) => {
    const pointer = `#${issue.path.map((part) => `/${String(part)}`).join('')}`
    if (issue.code === 'unrecognized_keys')
      return issue.keys
        .slice(0, 20)
        .map((key) => ({ detail: 'unknown key', pointer: `${pointer}/${key.slice(0, 100)}` }))
    return [{ detail: issue.message, pointer }]
  })
  throw errors.validation(mistakes.map(({ detail, pointer }) => `${pointer}: ${detail}`).join('; '), {
    errors: mistakes,
  })
}

async function takeDataset({ dataset }: JobSpec, places: JobPlaces, datasets: string | undefined): Promise<void> {
  if (dataset === undefined) throw errors.validation('There is no data: expected a dataset, or a form with a file')
  const directory = datasets === undefined ? null : join(datasets, dataset)
  if (directory === null || !(await exists(join(directory, 'train.jsonl')))) {
    throw errors.validation(`dataset: there is no '${dataset}' in DATASETS_DIR`, { pointer: '#/dataset' })
  }
  await copyFile(join(directory, 'train.jsonl'), places.train)
  for (const name of ['valid.jsonl', 'validation.jsonl']) {
    if (await exists(join(directory, name))) await copyFile(join(directory, name), places.validation)
  }
}

/** Clients learn the line of a mistake, not where the server keeps the file. */
function asClientsSeeIt(error: unknown, directory: string): unknown {
  if (!(error instanceof Error)) return error
  if (isStorageFull(error)) return errors.storageFull('There is no room for the files of the job: nothing was taken')
  if (!(error instanceof DyloraError) || error.code !== 'dataset_invalid') return error
  const message = error.message
    .replaceAll(`${directory}/`, '')
    .replace('train.jsonl', 'data')
    .replace('validation.jsonl', 'validation')
  const { line } = error.facts
  return errors.validation(message, line === undefined ? {} : { line })
}
