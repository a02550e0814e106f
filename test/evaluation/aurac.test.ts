/** The area under a quality curve over log2(rank). */
import t from 'tap'
import { aurac } from '../../src/evaluation/aurac.ts'

t.test('a doubling of the rank counts as much at any rank', (t) => {
  // Spans 1, 1 and 1 with means 62, 65 and 66.5.
  const curve = [
    { rank: 1, value: 60 },
    { rank: 2, value: 64 },
    { rank: 4, value: 66 },
    { rank: 8, value: 67 },
  ]
  t.ok(Math.abs(aurac(curve) - (62 + 65 + 66.5) / 3) < 1e-12)
  t.equal(aurac(curve.toReversed()), aurac(curve), 'in any order')
  t.end()
})

t.test('a flat curve has the quality itself, whichever ranks were measured', (t) => {
  t.ok(Math.abs(aurac([1, 2, 3, 5, 8].map((rank) => ({ rank, value: 0.7 }))) - 0.7) < 1e-12)
  t.equal(aurac([{ rank: 4, value: 0.7 }]), 0.7)
  t.end()
})

t.test('the bare base and a rank that comes twice are no part of a curve', (t) => {
  const value = 1
  t.throws(() => aurac([]), { message: 'Expected the quality of at least one rank, got none' })
  t.throws(
    () =>
      aurac([
        { rank: 0, value },
        { rank: 1, value },
      ]),
    { message: /got 0, 1$/ },
  )
  t.throws(
    () =>
      aurac([
        { rank: 2, value },
        { rank: 2, value },
      ]),
    RangeError,
  )
  t.end()
})
