/** API keys: only their hashes are kept, and every one is compared in the same time. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { z } from 'zod'

export interface AccessKey {
  /** Shown in logs and limits; says nothing of the key. */
  readonly name: string
  /** SHA-256 of the key. Keys are random, so a slow hash would only slow down requests. */
  readonly sha256: Uint8Array
  /** May it load, unload and train? */
  readonly admin: boolean
}

const name = z.string().regex(/^[\w.-]{1,64}$/, 'expected letters, digits, dots, dashes and underscores, at most 64')

/** A file of keys, as `dylora keys` writes it. */
export const KeyFile = z.strictObject({
  keys: z.array(
    z.strictObject({
      name,
      sha256: z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 hexadecimal digits'),
      admin: z.boolean().default(false),
    }),
  ),
})
export type KeyFile = z.infer<typeof KeyFile>

export const keyName = name

export const hashOf = (key: string): Uint8Array => createHash('sha256').update(key).digest()

export const keysOf = ({ keys }: KeyFile): AccessKey[] =>
  keys.map((key) => ({ ...key, sha256: Buffer.from(key.sha256, 'hex') }))

/** 256 random bits, in letters that need no quoting anywhere. */
export const randomKey = (): string => `dyl_${randomBytes(32).toString('base64url')}`

/** The key that this is, or null. All are looked at, so that time tells nothing of which. */
export function findKey(keys: readonly AccessKey[], given: string): AccessKey | null {
  const hash = hashOf(given)
  let found: AccessKey | null = null
  for (const key of keys) if (timingSafeEqual(key.sha256, hash)) found = key
  return found
}
