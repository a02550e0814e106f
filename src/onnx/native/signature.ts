/** What a loaded model takes and gives: names, element types and shapes, as the runtime tells them. */
import koffi from 'koffi'
import { dataTypes } from '../encoding.ts'
import { type Dim, type DType, dtypes, type TensorType } from '../tensor-type.ts'
import { type Api, cApi } from './c-api.ts'
import type { Pointer } from './library.ts'

/** A dimension without size or name is `?`; a model that declares no shape for a value shows as a scalar. */
export interface NamedType extends TensorType {
  readonly name: string
}

const sides = {
  inputs: { count: 'SessionGetInputCount', name: 'SessionGetInputName', type: 'SessionGetInputTypeInfo' },
  outputs: { count: 'SessionGetOutputCount', name: 'SessionGetOutputName', type: 'SessionGetOutputTypeInfo' },
} as const

/** In the model's order. Throws a TypeError for a value that is no tensor of a type known here. */
export function readSignature(session: Pointer, side: keyof typeof sides): NamedType[] {
  const api = cApi()
  const { count, name, type } = sides[side]
  return Array.from({ length: api.call[count](session) }, (_, i) => {
    const read = readText((allocator) => api.call[name](session, i, allocator))
    const info = api.call[type](session, i)
    try {
      return { name: read, ...readType(api, info, read) }
    } finally {
      api.release.TypeInfo(info)
    }
  })
}

/** A string that the runtime allocates for its caller. */
export function readText(get: (allocator: Pointer) => Pointer): string {
  const { call } = cApi()
  const allocator = call.GetAllocatorWithDefaultOptions()
  const text = get(allocator)
  const read = koffi.decode.string(text)
  call.AllocatorFree(allocator, text)
  return read
}

function readType({ call }: Api, typeInfo: Pointer, name: string): TensorType {
  const info = call.CastTypeInfoToTensorInfo(typeInfo)
  const code = info === 0n ? 'no tensor' : call.GetTensorElementType(info)
  const dtype: DType | undefined = dtypes.find((known) => dataTypes[known] === code)
  if (dtype === undefined) throw new TypeError(`expected '${name}' to be one of ${dtypes.join(', ')}, got type ${code}`)
  const rank = call.GetDimensionsCount(info)
  const [sizes, names] = [new BigInt64Array(rank), new BigUint64Array(rank)]
  call.GetDimensions(info, sizes, rank)
  call.GetSymbolicDimensions(info, names, rank)
  return { dtype, shape: Array.from(sizes, (size, axis) => readDim(size, names[axis] ?? 0n)) }
}

const readDim = (size: bigint, name: Pointer): Dim => (size >= 0n ? Number(size) : koffi.decode.string(name) || '?')
