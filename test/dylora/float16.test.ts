/** Conversions between half precisions and float32. */
import fc from 'fast-check'
import t from 'tap'
import {
  bfloat16FromFloat32,
  float16FromFloat32,
  float32FromBfloat16,
  float32FromFloat16,
} from '../../src/dylora/float16.ts'

const everyPattern = Uint16Array.from({ length: 65_536 }, (_, i) => i)
const formats = [
  { name: 'float16', to: float16FromFloat32, from: float32FromFloat16, smallest: 2 ** -24, infinity: 0x7c00 },
  { name: 'bfloat16', to: bfloat16FromFloat32, from: float32FromBfloat16, smallest: 2 ** -133, infinity: 0x7f80 },
] as const

for (const { name, to, from, smallest, infinity } of formats) {
  t.test(`${name}: every value survives the way to float32 and back`, async (t) => {
    const values = from(everyPattern)
    const back = to(values)
    const wrong = everyPattern.find((pattern, i) => !Number.isNaN(values[i]) && back[i] !== pattern)
    t.equal(wrong, undefined)
    const nans = everyPattern.filter((_, i) => Number.isNaN(values[i]))
    t.equal(nans.length, 2 * (0xffff - infinity - 0x8000), 'patterns above infinity are NaN')
    t.ok(
      to(from(nans)).every((pattern) => (pattern & 0x7fff) > infinity),
      'NaN stays NaN',
    )
  })

  t.test(`${name}: a float32 becomes the nearest value, of two equally near the even one`, async (t) => {
    const values = from(everyPattern)
    const isNearest = (x: number) => {
      const pattern = to(Float32Array.of(x))[0] ?? 0
      const distance = (candidate: number) => Math.abs(x - (values[candidate] ?? 0))
      const neighbours = [pattern - 1, pattern + 1].filter(
        (p) => (p & 0x7fff) < infinity && (p & 0x8000) === (pattern & 0x8000),
      )
      return neighbours.every(
        (other) => distance(pattern) < distance(other) || (distance(pattern) === distance(other) && pattern % 2 === 0),
      )
    }
    const limit = from(Uint16Array.of(infinity - 1))[0] ?? 0
    const finite = fc.float({ noNaN: true, noDefaultInfinity: true, min: Math.fround(-limit), max: limit })
    fc.assert(fc.property(finite, isNearest), { numRuns: 2000 })
    const halfway = Array.from(values.subarray(0, infinity - 1), (value, i) => (value + (values[i + 1] ?? 0)) / 2)
    t.equal(
      halfway.find((x) => !isNearest(x)),
      undefined,
    )
  })

  t.test(`${name}: signs, zeros, infinities and the smallest step`, async (t) => {
    const x = Float32Array.of(0, -0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, smallest, -smallest)
    t.strictSame([...to(x)], [0, 0x8000, infinity, infinity | 0x8000, 1, 0x8001])
    t.strictSame(from(to(x)), x)
  })
}

t.test('float16 rounds to infinity from half-way above its largest value on', async (t) => {
  t.strictSame(
    [...float16FromFloat32(Float32Array.of(65504, 65519.996, 65520, 1e30))],
    [0x7bff, 0x7bff, 0x7c00, 0x7c00],
  )
})
