/** Opens a file of tensors, safetensors or torch's; its content says which it is. */
import { open } from 'node:fs/promises'
import { FileFormatError, isFloat, readSafetensorsHeader, readTensor } from './safetensors.ts'
import type { StoredTensor, StoredTensors } from './stored-tensors.ts'
import { readTorchFile } from './torch-file.ts'

/** Throws FileFormatError, or the system's error when the file is not there. Runs no pickle. */
export async function readTensorFile(path: string): Promise<StoredTensors> {
  const start = await firstBytes(path)
  if (start.subarray(0, 4).toString('latin1') === 'PK\x03\x04') return readTorchFile(path)
  // A safetensors file may start with this byte too, but then has the brace of its JSON header in ninth place.
  if (start[0] === 0x80 && start[8] !== 0x7b) {
    throw new FileFormatError(path, 'it is a bare pickle, as torch wrote before 1.6: load it and save it again')
  }
  return safetensorsTensors(path)
}

async function firstBytes(path: string): Promise<Buffer> {
  const handle = await open(path, 'r')
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(9), 0, 9, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}

async function safetensorsTensors(path: string): Promise<StoredTensors> {
  const file = await readSafetensorsHeader(path)
  const stored = [...file.tensors.values()].map(({ name, shape, dtype }): [string, StoredTensor] => [
    name,
    { shape, dtype, isFloat: isFloat(dtype), read: () => readTensor(file, name) },
  ])
  return new Map(stored)
}
