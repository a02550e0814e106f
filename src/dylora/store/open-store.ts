/** The store that a setting names. */
import type { AdapterStore } from './adapter-store.ts'
import { directoryStore } from './directory-store.ts'
import type { S3StoreOptions } from './s3-store.ts'

/** `s3://bucket/prefix` or a directory. What speaks to buckets is loaded only for one. */
export async function openStore(place: string, options: S3StoreOptions): Promise<AdapterStore> {
  if (!place.startsWith('s3://')) return directoryStore(place, options)
  const { S3Store } = await import('./s3-store.ts')
  return new S3Store(place, options)
}
