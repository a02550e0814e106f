/** Where rows go when they branch: nothing that is still to be read is written over, and as little as can be is copied. */
import fc from 'fast-check'
import t from 'tap'
import { place } from '../../src/inference/rows.ts'

const row = (text: string) => ({ generated: [...text].map((letter) => letter.charCodeAt(0)) })

/** Rows of one length as a search makes them, no two the same, and which of them each branch goes on from. */
const anyStep = fc
  .record({ length: fc.integer({ min: 0, max: 4 }), count: fc.integer({ min: 1, max: 6 }) })
  .chain(({ length, count }) =>
    fc.record({
      rows: fc
        .uniqueArray(fc.string({ unit: fc.constantFrom('a', 'b'), minLength: length, maxLength: length }), {
          minLength: 1,
          maxLength: count,
        })
        .map((texts) => texts.map(row)),
      choices: fc.array(fc.nat(), { maxLength: 6 }),
    }),
  )
  .map(({ rows, choices }) => ({
    rows,
    branches: choices.map((choice) => ({ parent: choice % rows.length, generated: [] })),
  }))

t.test('each branch has a row of its own, with the tokens of its parent after the copy', async () => {
  fc.assert(
    fc.property(anyStep, ({ rows, branches }) => {
      const placements = place(rows, branches)
      const memory = new Map(rows.map((row) => [row, [...row.generated]]))
      for (const [i, { row, parent, shared }] of placements.entries()) {
        if (rows[branches[i]!.parent] !== parent) return false
        if (row === null || row === parent) continue
        const [from, to] = [memory.get(parent)!, memory.get(row)!]
        to.splice(shared, to.length, ...from.slice(shared))
        if (to.join() !== parent.generated.join()) return false
      }
      const taken = placements.flatMap(({ row }) => row ?? [])
      const parents = new Set(branches.map(({ parent }) => rows[parent]))
      return (
        new Set(taken).size === taken.length &&
        taken.length === Math.min(Math.max(rows.length, parents.size), branches.length) &&
        [...parents].every((parent) => memory.get(parent!)!.join() === parent!.generated.join())
      )
    }),
    { numRuns: 1000 },
  )
})

t.test('the first branch stays where it was, another takes the row that has most in common', async (t) => {
  const rows = ['abca', 'aaaa', 'abbb'].map(row)
  const [a, b, c] = rows
  const branches = [0, 0, 0, 0].map((parent) => ({ parent, generated: [] }))
  t.same(
    place(rows, branches).map(({ row, shared }) => [rows.indexOf(row!), shared]),
    [
      [0, 4],
      [2, 2],
      [1, 1],
      [-1, 0],
    ],
  )
  const crossed = place(rows, [
    { parent: 2, generated: [] },
    { parent: 1, generated: [] },
    { parent: 0, generated: [] },
  ])
  t.same(
    crossed.map(({ row }) => row),
    [c, b, a],
    'an order that changes copies nothing',
  )
})
