/** NIST against values worked out by hand, and against the official scripts' where they are at hand. */
import t from 'tap'
import { score } from '../../src/evaluation/metrics.ts'
import { nist, nistPerl } from '../../src/evaluation/nist.ts'
import { e2eSystems, hasVectors, readE2eExample, readE2eSystem, readVectorJson } from '../fixtures/metric-vectors.ts'

const near = (a: number, b: number) => Math.abs(a - b) < 1e-12
const beta = Math.log(2) / Math.log(1.5) ** 2

/** Two instances; 5 + 3 and 4 words of references, 12 in all. */
const references = [['a b c a b', 'a b d'], ['x a b c']]

t.test('hits weigh what all references of the test set tell about them', (t) => {
  // Of 12 words a and b are 4 each, c 2; "a b" begins with every a, "b c" with 2 of 4 b, "a b c" with 2 of 4 "a b".
  const unigrams = 2 * Math.log2(12 / 4) + Math.log2(12 / 2) + Math.log2(12 / 1)
  const bigrams = 0 + Math.log2(4 / 2)
  const trigrams = Math.log2(4 / 2)
  const [first, second] = nist.instances(['a b c', 'x y'], references)
  t.ok(near((first?.[0] ?? 0) + (second?.[0] ?? 0), unigrams))
  t.same([first?.[1], first?.[2]], [bigrams, trigrams])
  // N-grams of the outputs: 5, 3, 1, and one below zero for each order that a text is too short for.
  const sum = unigrams / 5 + bigrams / 3 + trigrams / 1
  const penalty = Math.exp(-beta * Math.log(5 / (8 / 2 + 4)) ** 2)
  t.ok(near(score(nist, ['a b c', 'x y'], references), sum * penalty))
  t.end()
})

t.test('the two scripts differ in the reference length', (t) => {
  const texts = ['a b c', 'x a b c'] as const
  const perl = Math.exp(-beta * Math.log(7 / (12 / 1.5)) ** 2)
  const python = Math.exp(-beta * Math.log(7 / (4 + 4)) ** 2)
  t.ok(near(score(nistPerl, texts, references) / perl, score(nist, texts, references) / python))

  const uneven = [['a a a a a a', 'a b c d e f', 'f e d c b a'], ['b b']]
  const outputs = ['a b', 'b b']
  // Three times 6 words and 2: the mean of all is 5 for each instance; the mean of means is 4.
  const atPerl = Math.exp(-beta * Math.log(4 / 10) ** 2)
  const atPython = Math.exp(-beta * Math.log(4 / 8) ** 2)
  t.ok(near(score(nistPerl, outputs, uneven) / score(nist, outputs, uneven), atPerl / atPython))
  t.end()
})

t.test('outputs as long as the references are not penalised, however long', (t) => {
  const doubled = ['a b c a b a b c a b', 'x a b c x a b c']
  const [first, second] = nist.instances(doubled, references) as [Float64Array, Float64Array]
  const sum = [0, 1, 2, 3, 4].reduce(
    (total, i) => total + ((first[i] ?? 0) + (second[i] ?? 0)) / ((first[5 + i] ?? 0) + (second[5 + i] ?? 0)),
    0,
  )
  t.ok(near(score(nist, doubled, references), sum))
  t.end()
})

t.test("to Perl an n-gram's start of 0 counts as none", (t) => {
  const texts = [['a 0'], [['0 a 0 b']]] as const
  const information = (metric: typeof nist) => metric.instances(['0 a'], [['0 a 0 b']])[0]?.[1]
  t.equal(information(nist), Math.log2(2 / 1))
  t.equal(information(nistPerl), Math.log2(4 / 1))
  t.ok(score(nistPerl, ...texts) > 0)
  t.end()
})

t.test('nothing on either side and texts of a word give a number', (t) => {
  for (const metric of [nist, nistPerl]) {
    for (const hypothesis of ['', 'a', 'a b', 'a b c d e f']) {
      for (const group of [['a b c d e'], [''], ['', 'x']]) {
        const value = score(metric, [hypothesis], [group])
        t.ok(Number.isFinite(value) && value >= 0, `'${hypothesis}' for '${group.join("' or '")}' is ${value}`)
      }
    }
  }
  t.end()
})

if (hasVectors) {
  t.test("the official scripts' NIST of their example", (t) => {
    const { hypotheses, references, scores } = readE2eExample()
    t.ok(near(score(nist, hypotheses, references), scores.nist_py))
    t.equal(score(nistPerl, hypotheses, references).toFixed(4), scores.nist_perl.toFixed(4))
    t.end()
  })

  const expected = readVectorJson<Record<string, { nist_py: number; nist_perl: number }>>('e2e/expected.json')
  for (const system of e2eSystems) {
    t.test(`the official scripts' NIST of the E2E challenge system ${system}`, (t) => {
      const { hypotheses, references } = readE2eSystem(system)
      const python = score(nist, hypotheses, references)
      const official = expected[system]
      t.ok(near(python, official?.nist_py as number), `${python} is ${official?.nist_py}`)
      t.equal(score(nistPerl, hypotheses, references).toFixed(4), official?.nist_perl.toFixed(4))
      t.end()
    })
  }
}
