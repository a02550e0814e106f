/** Singular order against the product formed by brute force. */
import t from 'tap'
import type { LoraFactors } from '../../src/dylora/adapter.ts'
import { inSingularOrder } from '../../src/dylora/singular-order.ts'
import { randomNumbers } from '../fixtures/gradient-check.ts'

function randomFactors(rank: number, inFeatures: number, outFeatures: number, seed = 1): LoraFactors {
  const random = randomNumbers(seed)
  const draw = (length: number) => Float32Array.from({ length }, () => 2 * random() - 1)
  return { inFeatures, outFeatures, loraA: draw(rank * inFeatures), loraB: draw(rank * outFeatures) }
}

/** The product over the first `rank` ranks, [out][in]. */
function product({ inFeatures, outFeatures, loraA, loraB }: LoraFactors, rank: number): number[][] {
  return Array.from({ length: outFeatures }, (_, o) =>
    Array.from({ length: inFeatures }, (_, i) => {
      let sum = 0
      for (let k = 0; k < rank; k++) sum += loraB[k * outFeatures + o]! * loraA[k * inFeatures + i]!
      return sum
    }),
  )
}

const distance = (a: number[][], b: number[][]): number =>
  Math.sqrt(a.flat().reduce((sum, value, i) => sum + (value - b.flat()[i]!) ** 2, 0))

/** Squares of the singular values, from the power method on MᵀM with deflation. */
function squaredSingularValues(matrix: number[][], count: number): number[] {
  const width = matrix[0]!.length
  const gram = Array.from({ length: width }, (_, i) =>
    Array.from({ length: width }, (_, j) => matrix.reduce((sum, row) => sum + row[i]! * row[j]!, 0)),
  )
  return Array.from({ length: count }, (_, k) => {
    let vector = Array.from({ length: width }, (_, i) => Math.sin(i + k + 1))
    let value = 0
    for (let step = 0; step < 4000; step++) {
      const next = gram.map((row) => row.reduce((sum, cell, i) => sum + cell * vector[i]!, 0))
      value = Math.hypot(...next)
      vector = next.map((cell) => cell / value)
    }
    for (let i = 0; i < width; i++) for (let j = 0; j < width; j++) gram[i]![j]! -= value * vector[i]! * vector[j]!
    return value
  })
}

t.test('the whole product stays, and every cut misses just the singular values it leaves out', async (t) => {
  for (const [rank, inFeatures, outFeatures] of [
    [4, 12, 9],
    [6, 7, 20],
    [1, 3, 5],
  ] as const) {
    const factors = randomFactors(rank, inFeatures, outFeatures)
    const ordered = inSingularOrder(factors)
    const whole = product(factors, rank)
    t.ok(distance(whole, product(ordered, rank)) < 1e-5, `rank ${rank}: the product`)
    const squares = squaredSingularValues(whole, rank)
    for (let cut = 1; cut < rank; cut++) {
      const missed = Math.sqrt(squares.slice(cut).reduce((sum, value) => sum + value, 0))
      const got = distance(whole, product(ordered, cut))
      t.ok(Math.abs(got - missed) < 1e-4 * missed, `rank ${rank} cut to ${cut}: ${got} and ${missed}`)
      t.ok(got < distance(whole, product(factors, cut)), 'and is nearer than the plain cut')
    }
  }
})

t.test('factors that use fewer ranks than they have stay finite, zeros too', async (t) => {
  const { loraA, loraB, ...shape } = randomFactors(3, 6, 5)
  loraA.copyWithin(6, 0, 6)
  loraB.fill(0, 10)
  const deficient = { ...shape, loraA, loraB }
  const ordered = inSingularOrder(deficient)
  t.ok(distance(product(deficient, 3), product(ordered, 1)) < 1e-5, 'one rank says it all')
  const zero = inSingularOrder({ ...shape, loraA, loraB: new Float32Array(15) })
  t.ok(zero.loraB.every((value) => value === 0) && zero.loraA.every((value) => value === 0))
})
