/** Broken adapter directories: each fault is refused with its own reason. */
import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { type AdapterContent, readAdapter, writeAdapter } from '../../src/dylora/adapter-directory.ts'
import { readSafetensorsHeader, readTensor, type TensorSource, writeSafetensors } from '../../src/dylora/safetensors.ts'
import { randomAdapter } from '../fixtures/adapters.ts'

const full = randomAdapter(1, 4, { prompt: { prefix: [0, 3], suffix: [5] }, training: { seed: 7 } })

function edit(directory: string, name: string, change: Record<string, unknown>): void {
  const json = JSON.parse(readFileSync(join(directory, name), 'utf8'))
  writeFileSync(join(directory, name), JSON.stringify({ ...json, ...change }))
}

async function editFactors(directory: string, change: (tensors: Map<string, TensorSource>) => void): Promise<void> {
  const path = join(directory, 'adapter_model.safetensors')
  const file = await readSafetensorsHeader(path)
  const tensors = new Map<string, TensorSource>()
  for (const { name, shape } of file.tensors.values()) {
    tensors.set(name, { name, shape, data: await readTensor(file, name) })
  }
  change(tensors)
  await writeSafetensors(path, tensors.values())
}

function flip(directory: string, offset: number): void {
  const path = join(directory, 'adapter_model.safetensors')
  const bytes = readFileSync(path)
  bytes[offset] = (bytes[offset] ?? 0) ^ 1
  writeFileSync(path, bytes)
}

const weights = (directory: string) => join(directory, 'adapter_model.safetensors')
const fused = 'base_model.model.transformer.h.0.attn.c_attn'
const set = (name: string, shape: number[], fill: (data: Float32Array) => void = () => {}) => {
  const data = new Float32Array(shape.reduce((n, size) => n * size, 1))
  fill(data)
  return (tensors: Map<string, TensorSource>) => void tensors.set(name, { name, shape, data })
}

const faults: Readonly<Record<string, { break: (directory: string) => unknown; reason: RegExp }>> = {
  'no factors': { break: (d) => rmSync(weights(d)), reason: /there is no adapter_model\.safetensors/ },
  'no PEFT configuration': {
    break: (d) => rmSync(join(d, 'adapter_config.json')),
    reason: /there is no adapter_config/,
  },
  'truncated factors': { break: (d) => truncateSync(weights(d), 9000), reason: /expected \d+ bytes in all, got 9000/ },
  'factors cut to nothing': { break: (d) => truncateSync(weights(d), 0), reason: /expected at least 8 bytes, got 0/ },
  'a flipped bit in the header size': { break: (d) => flip(d, 7), reason: /the header is said to have \d+ bytes/ },
  'a flipped bit in the header': { break: (d) => flip(d, 8), reason: /the header is not JSON/ },
  'a flipped bit in a factor': {
    break: (d) => flip(d, 4096),
    reason: /the content does not match its digest: expected sha256:[0-9a-f]{64}, got sha256:[0-9a-f]{64}/,
  },
  'factors of another adapter': {
    break: async (d) => cpSync(weights((await writeTo(`${d}-other`, randomAdapter(2))) as string), weights(d)),
    reason: /the content does not match its digest/,
  },
  'a factor that is not finite': {
    break: (d) =>
      editFactors(
        d,
        set(`${fused}.lora_A.weight`, [8, 32], (data) => data.fill(Number.NaN, 5, 6)),
      ),
    reason: /tensor 'base_model.*c_attn\.lora_A\.weight': expected finite values, got NaN at 5/,
  },
  'a missing half': {
    break: (d) => editFactors(d, (tensors) => tensors.delete(`${fused}.lora_B.weight`)),
    reason: /tensor 'base_model.*h\.0\.attn\.c_attn\.lora_B\.weight' is missing/,
  },
  'a missing layer': {
    break: (d) =>
      editFactors(d, (tensors) => {
        for (const name of tensors.keys()) if (name.startsWith(fused)) tensors.delete(name)
      }),
    reason: /there are no factors for 0\.q_proj/,
  },
  'a tensor of an unknown module': {
    break: (d) => editFactors(d, set('base_model.model.transformer.wte.lora_A.weight', [1, 1])),
    reason: /tensor 'base_model\.model\.transformer\.wte\.lora_A\.weight' belongs to no known target module/,
  },
  'a tensor that is no matrix': {
    break: (d) => editFactors(d, set(`${fused}.lora_A.weight`, [256])),
    reason: /c_attn\.lora_A\.weight': expected a matrix, got \[256\]/,
  },
  'halves of two ranks': {
    break: (d) => editFactors(d, set(`${fused}.lora_A.weight`, [7, 32])),
    reason: /c_attn\.lora_B\.weight': expected \[96,7\] to go with its lora_A/,
  },
  'a wrong rank': {
    break: (d) =>
      editFactors(d, (tensors) => {
        set(`${fused}.lora_A.weight`, [7, 32])(tensors)
        set(`${fused}.lora_B.weight`, [96, 7])(tensors)
      }),
    reason: /0\.attn\.c_attn: expected 8 rank rows, got 7/,
  },
  'a wrong width': {
    break: (d) => editFactors(d, set(`${fused}.lora_A.weight`, [8, 31])),
    reason: /1\.q_proj: expected 31 -> 32 as in layer 0, got 32 -> 32/,
  },
  'values outside the blocks of a fused layer': {
    break: (d) =>
      editFactors(
        d,
        set(`${fused}.lora_B.weight`, [96, 8], (data) => data.fill(1)),
      ),
    reason: /0\.attn\.c_attn: lora_B has values outside the blocks of its modules/,
  },
  'a format of the future': {
    break: (d) => edit(d, 'dylora.json', { formatVersion: 2 }),
    reason: /dylora\.json: formatVersion: .*1/,
  },
  'an unknown field': { break: (d) => edit(d, 'dylora.json', { ranck: 3 }), reason: /dylora\.json: .*ranck/ },
  'an unknown scaling rule': {
    break: (d) => edit(d, 'dylora.json', { scaling: 'alpha' }),
    reason: /dylora\.json: scaling/,
  },
  'files that disagree about the scaling': {
    break: (d) => edit(d, 'adapter_config.json', { lora_alpha: 16 }),
    reason: /adapter_config\.json: expected lora_alpha 8 by dylora\.json, got 16/,
  },
  'a changed prompt': {
    break: (d) => edit(d, 'dylora.json', { prompt: { prefix: [], suffix: [] } }),
    reason: /the content does not match its digest/,
  },
  'dylora.json that is not JSON': {
    break: (d) => writeFileSync(join(d, 'dylora.json'), '{'),
    reason: /dylora\.json: /,
  },
}

async function writeTo(directory: string, content: AdapterContent): Promise<string> {
  await writeAdapter(directory, content)
  return directory
}

for (const [what, fault] of Object.entries(faults)) {
  t.test(`${what}: refused with a reason`, async (t) => {
    const directory = await writeTo(join(t.testdir(), 'a'), full)
    await fault.break(directory)
    await t.rejects(readAdapter(directory), { code: 'adapter_invalid', message: fault.reason })
  })
}

t.test('whatever byte is spoiled, the adapter is refused or is the same adapter', async (t) => {
  const directory = await writeTo(join(t.testdir(), 'a'), full)
  const { digest } = await readAdapter(directory)
  const files = readdirSync(directory).map((name) => ({ name, bytes: readFileSync(join(directory, name)) }))
  const spoil = async (file: number, place: number, value: number) => {
    const { name = '', bytes = Buffer.alloc(0) } = files[file % files.length] ?? {}
    const spoiled = Buffer.from(bytes)
    // Most of the factors' file is factors; the header deserves as many tries.
    spoiled[place % Math.min(bytes.length, place % 2 ? 2000 : bytes.length)] = value
    writeFileSync(join(directory, name), spoiled)
    const outcome = await readAdapter(directory).catch((error: unknown) => error)
    writeFileSync(join(directory, name), bytes)
    if (outcome instanceof Error) t.match(outcome, { code: 'adapter_invalid' })
    else t.match(outcome, { digest })
  }
  const any = [fc.nat(), fc.nat(), fc.nat(255)] as const
  await fc.assert(fc.asyncProperty(...any, spoil), { numRuns: 300 })
})
