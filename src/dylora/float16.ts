/** Half precision (IEEE binary16) and bfloat16 to and from float32: rounded to nearest even, NaN kept. */

const bits = new Uint32Array(1)
const value = new Float32Array(bits.buffer)

/** 65,536 entries, one per bit pattern; made at the first use. */
let float16Values: Float32Array | undefined

/** The bits of |x| in binary16; `magnitude` are the bits of the float32 |x|. */
function float16Magnitude(magnitude: number): number {
  if (magnitude > 0x7f80_0000) return 0x7e00 | ((magnitude >>> 13) & 0x3ff)
  // 65520 is half-way between the largest half, 65504, and the next step: it rounds to infinity, as all above it.
  if (magnitude >= 0x477f_f000) return 0x7c00
  if (magnitude < 0x3880_0000) return subnormalMagnitude(magnitude)
  const tie = (magnitude >>> 13) & 1
  return (magnitude - 0x3800_0000 + 0xfff + tie) >>> 13
}

/** Below 2^-14 the steps are 2^-24, which is the float32 step at 0.5: that addition does the rounding. */
function subnormalMagnitude(magnitude: number): number {
  bits[0] = magnitude
  value[0] = (value[0] ?? 0) + 0.5
  return (bits[0] ?? 0) - 0x3f00_0000
}

export function float16FromFloat32(values: Float32Array): Uint16Array {
  const source = new Uint32Array(values.buffer, values.byteOffset, values.length)
  return Uint16Array.from(source, (x) => ((x >>> 16) & 0x8000) | float16Magnitude(x & 0x7fff_ffff))
}

/** Exact: every half is a float32. */
export function float32FromFloat16(halves: Uint16Array): Float32Array {
  float16Values ??= Float32Array.from({ length: 65_536 }, (_, half) => float16Value(half))
  const table = float16Values
  const result = new Float32Array(halves.length)
  for (let i = 0; i < halves.length; i++) result[i] = table[halves[i] ?? 0] ?? 0
  return result
}

function float16Value(half: number): number {
  const sign = half & 0x8000 ? -1 : 1
  const exponent = (half >>> 10) & 0x1f
  const fraction = half & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

export function bfloat16FromFloat32(values: Float32Array): Uint16Array {
  const source = new Uint32Array(values.buffer, values.byteOffset, values.length)
  return Uint16Array.from(source, (x) =>
    (x & 0x7fff_ffff) > 0x7f80_0000 ? (x >>> 16) | 0x40 : (x + 0x7fff + ((x >>> 16) & 1)) >>> 16,
  )
}

/** Exact: a bfloat16 is the upper half of a float32. */
export function float32FromBfloat16(halves: Uint16Array): Float32Array {
  const result = new Uint32Array(halves.length)
  for (let i = 0; i < halves.length; i++) result[i] = (halves[i] ?? 0) << 16
  return new Float32Array(result.buffer)
}
