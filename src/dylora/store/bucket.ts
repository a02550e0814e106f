/** A part of an S3 bucket, as directories of files: what the store of adapters needs of the protocol, and no more. */
import { createReadStream, createWriteStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import {
  DeleteObjectsCommand,
  GetObjectCommand,
  PutObjectCommand,
  paginateListObjectsV2,
  S3Client,
} from '@aws-sdk/client-s3'
import { errors } from '../../errors.ts'

export interface BucketOptions {
  /** Address of a service that is not Amazon's; its buckets are in the path. */
  readonly endpoint?: string | undefined
  readonly region?: string | undefined
}

export interface FileFact {
  /** Changes with the content. */
  readonly etag: string
  /** Milliseconds since 1970. */
  readonly changedAt: number
}

/** Facts of each file, by directory and file name. */
export type Listing = ReadonlyMap<string, ReadonlyMap<string, FileFact>>

/** One directory and one file in it; what lies deeper, or could be taken for a path, belongs to somebody else. */
const place = /^(?<directory>[^/\\.][^/\\]*)\/(?<file>[^/\\.][^/\\]*)$/

const plainChecksums = {
  requestChecksumCalculation: 'WHEN_REQUIRED',
  responseChecksumValidation: 'WHEN_REQUIRED',
} as const

export class Bucket {
  readonly #client: S3Client
  readonly #bucket: string
  readonly #prefix: string

  /** `address` is `s3://bucket/prefix`; throws `configuration_invalid`. Credentials are those of the environment. */
  constructor(address: string, { endpoint, region }: BucketOptions) {
    const parts = /^s3:\/\/(?<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(?<prefix>.*))?$/.exec(address)?.groups
    if (parts?.bucket === undefined) {
      throw errors.configurationInvalid([`ADAPTERS_DIR: expected s3://<bucket>/<prefix>, got '${address}'`])
    }
    const inner = (parts.prefix ?? '').replace(/^\/+|\/+$/g, '')
    this.#bucket = parts.bucket
    this.#prefix = inner === '' ? '' : `${inner}/`
    // Services that are not Amazon's have no regions, and the signature wants one.
    const named = region ?? (endpoint === undefined ? undefined : 'us-east-1')
    this.#client = new S3Client({
      ...(named !== undefined && { region: named }),
      // Not all of them know the checksums that Amazon's has by default.
      ...(endpoint !== undefined && { endpoint, forcePathStyle: true, ...plainChecksums }),
      requestHandler: { connectionTimeout: 5000, requestTimeout: 60_000 },
    })
  }

  /** All directories, or one. */
  async list(directory?: string): Promise<Listing> {
    const found = new Map<string, Map<string, FileFact>>()
    const Prefix = directory === undefined ? this.#prefix : `${this.#prefix}${directory}/`
    for await (const page of paginateListObjectsV2({ client: this.#client }, { Bucket: this.#bucket, Prefix })) {
      for (const { Key = '', ETag: etag = '', LastModified } of page.Contents ?? []) {
        const { directory: name, file } = place.exec(Key.slice(this.#prefix.length))?.groups ?? {}
        if (name === undefined || file === undefined) continue
        const files = found.get(name) ?? new Map<string, FileFact>()
        found.set(name, files.set(file, { etag, changedAt: LastModified?.getTime() ?? 0 }))
      }
    }
    return found
  }

  async readText(path: string): Promise<string> {
    const { Body } = await this.#client.send(new GetObjectCommand({ Bucket: this.#bucket, Key: this.#prefix + path }))
    return (await Body?.transformToString()) ?? ''
  }

  /** Fails unless the file is still the one with this etag. */
  async download(path: string, { etag }: FileFact, target: string): Promise<void> {
    const { Body } = await this.#client.send(
      new GetObjectCommand({ Bucket: this.#bucket, Key: this.#prefix + path, IfMatch: etag }),
    )
    await pipeline(Body as Readable, createWriteStream(target))
  }

  async upload(path: string, source: string): Promise<void> {
    const { size } = await stat(source)
    const file = { Body: createReadStream(source), ContentLength: size }
    await this.#client.send(new PutObjectCommand({ Bucket: this.#bucket, Key: this.#prefix + path, ...file }))
  }

  async writeText(path: string, text: string): Promise<void> {
    await this.#client.send(new PutObjectCommand({ Bucket: this.#bucket, Key: this.#prefix + path, Body: text }))
  }

  async remove(paths: readonly string[]): Promise<void> {
    if (paths.length === 0) return
    const Objects = paths.map((path) => ({ Key: this.#prefix + path }))
    await this.#client.send(new DeleteObjectsCommand({ Bucket: this.#bucket, Delete: { Objects, Quiet: true } }))
  }
}
