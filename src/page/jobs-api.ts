/** The routes of training jobs. */
import { getJson, postJson, request } from './api.ts'
import type { components } from './openapi.d.ts'
import { readEvents } from './server-sent-events.ts'

export type Job = components['schemas']['Job']

/** What a job told. */
export interface JobEvent {
  readonly id: string
  readonly type: string
  readonly data: Readonly<Record<string, unknown>>
}

export const listJobs = async (signal: AbortSignal): Promise<readonly Job[]> =>
  (await getJson<components['schemas']['JobList']>('/jobs?limit=50', signal)).jobs

export const cancelJob = (id: string): Promise<Job> => postJson('DELETE', `/jobs/${id}`)
export const retryJob = (id: string): Promise<Job> => postJson('POST', `/jobs/${id}/retry`)

/** `form` has the files `data` and, if any, `validation`; the job itself comes first, as the route wants it. */
export function createJob(job: object, files: Readonly<Record<'data' | 'validation', File | null>>): Promise<Job> {
  const form = new FormData()
  form.append('job', JSON.stringify(job))
  for (const [name, file] of Object.entries(files)) if (file !== null && file.size > 0) form.append(name, file)
  return postJson('POST', '/jobs', form)
}

/** From the first event on, and on again where the connection broke, until the job is over. */
export async function* watchJob(id: string, signal: AbortSignal): AsyncGenerator<JobEvent> {
  let last = ''
  while (!signal.aborted) {
    try {
      const headers = last === '' ? {} : { 'last-event-id': last }
      for await (const event of readEvents(await request(`/jobs/${id}/events`, { signal, headers }))) {
        last = event.id
        yield { id: event.id, type: event.event, data: JSON.parse(event.data) as JobEvent['data'] }
      }
      return
    } catch {
      if (signal.aborted) return
      await new Promise((resolve) => setTimeout(resolve, 2000))
    }
  }
}
