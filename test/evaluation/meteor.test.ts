/** METEOR against values worked out by hand and against the official program's. */
import t from 'tap'
import { meteor, meteorText } from '../../src/evaluation/meteor.ts'
import { align, lexeme } from '../../src/evaluation/meteor-alignment.ts'
import { metrics, score } from '../../src/evaluation/metrics.ts'
import { goldenAlignments, goldenCaptions, officialE2e } from '../fixtures/caption-metrics.ts'
import { hasVectors, readE2eSystem } from '../fixtures/metric-vectors.ts'

const near = (a: number, b: number, tolerance = 1e-12) => Math.abs(a - b) <= tolerance
const lexemes = (text: string) => text.split(' ').map(lexeme)
const matches = (hypothesis: string, reference: string) =>
  align(lexemes(hypothesis), lexemes(reference)).map((match) => [match.stage, match.hypothesis, match.reference])

t.test('words match exactly, by stem, by synonym', (t) => {
  t.same(matches('cheap foods here', 'inexpensive food here'), [
    [2, 0, 0],
    [1, 1, 1],
    [0, 2, 2],
  ])
  t.same(matches('a', 'b'), [])
  t.end()
})

t.test('of several places a word takes the one that makes the fewest runs', (t) => {
  // The first "the" of the hypothesis is left over: the second stands before "river".
  t.same(matches('the the river', 'the river'), [
    [0, 1, 0],
    [0, 2, 1],
  ])
  t.end()
})

t.test('a score is worked out from weighted words and runs', (t) => {
  // "the" is a function word (0.25), others weigh 0.75. Matches: pub, near and the exactly; cheap by synonym (0.8).
  const [hypothesis, reference] = ['cheap pub near the river', 'inexpensive pub near the bank']
  const weighted = 0.75 * (1 + 1 + 0.8) + 0.25
  const share = weighted / (4 * 0.75 + 0.25)
  const expected = share * (1 - 0.6 * (1 / 4) ** 0.2)
  const value = score(meteorText, [hypothesis], [[reference]])
  t.ok(near(value, expected), `${value} is ${expected}`)
  t.end()
})

t.test('the best reference counts, and a perfect text has no penalty', (t) => {
  t.equal(score(meteorText, ['A pub.'], [['x y z', 'a pub.']]), 1)
  const summed = score(meteorText, ['A pub.', 'B inn here'], [['a pub.'], ['c inn there']])
  t.ok(summed > 0 && summed < 1)
  t.end()
})

t.test('texts without words, or without a match, score 0', (t) => {
  for (const hypothesis of ['', ' ', '?!', 'word', '|||']) {
    for (const reference of ['', '...', 'quite another text']) {
      t.equal(score(meteor, [hypothesis], [[reference]]), 0, `'${hypothesis}' for '${reference}'`)
      t.equal(score(meteorText, [hypothesis], [[reference]]), 0, `'${hypothesis}' for '${reference}'`)
    }
  }
  t.end()
})

t.test('made-up outputs score as the official program has it', (t) => {
  const { hypotheses, references, scores, corpus } = goldenCaptions
  for (const [name, metric] of [['meteor', meteor] as const, ['meteor_text', meteorText] as const]) {
    const values = metric.instances(hypotheses, references).map((counts) => metric.combine(counts))
    for (const [i, value] of values.entries()) {
      t.ok(
        near(value, scores[name][i] as number),
        `${name} of '${hypotheses[i]}' is ${value}, expected ${scores[name][i]}`,
      )
    }
    t.ok(near(score(metrics[name], hypotheses, references), corpus[name]), name)
  }
  t.end()
})

t.test("of many alignments the official program's is found", (t) => {
  for (const { hypothesis, reference, score: official } of goldenAlignments) {
    const value = score(meteorText, [hypothesis], [[reference]])
    t.ok(near(value, official), `'${hypothesis}' for '${reference}' is ${value}, expected ${official}`)
  }
  t.end()
})

if (hasVectors) {
  for (const system of ['tgen', 'slug', 'adapt'] as const) {
    t.test(`the official METEOR of the E2E challenge system ${system}`, (t) => {
      const { hypotheses, references } = readE2eSystem(system)
      const value = score(meteor, hypotheses, references)
      t.ok(near(value, officialE2e[system].meteor), `${value}`)
      t.end()
    })
  }
}
