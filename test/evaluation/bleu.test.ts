/** BLEU against values worked out by hand, against sacrebleu's, and against the official scripts' where they are at hand. */
import t from 'tap'
import { bleu, multiBleu, multiBleuDetok, sacrebleu } from '../../src/evaluation/bleu.ts'
import { metrics, score } from '../../src/evaluation/metrics.ts'
import {
  e2eSystems,
  hasVectors,
  readE2eExample,
  readE2eSystem,
  readParallel,
  readVectorJson,
} from '../fixtures/metric-vectors.ts'
import { golden, goldenHypotheses, goldenReferences } from '../fixtures/text-metrics.ts'

const variants = { bleu, multiBleu, multiBleuDetok, sacrebleu }
const near = (a: number, b: number, tolerance = 1e-10) => Math.abs(a - b) <= tolerance

t.test('hits are clipped at the reference that has most, lengths are of the closest reference', (t) => {
  // "the" three times, at most two in one reference; bigrams "the cat" and "the the" of which only the first is there.
  const [counts] = bleu.instances(['the the the cat'], [['the cat on the mat', 'a cat', 'the cat']])
  t.same([...(counts ?? [])], [3, 1, 0, 0, 4, 3, 2, 1, 5])
  const [tie] = bleu.instances(['a b c'], [['a b', 'a b c d']])
  t.equal(tie?.[8], 2, 'the shorter of two that are as close')
  t.end()
})

t.test('a corpus is scored by its summed counts', (t) => {
  const hypotheses = ['the inn serves fish by the river', 'a cheap pub']
  const references = [['the inn serves fish near the river'], ['it is a cheap pub']]
  // Hits 6+3 of 7+3, 4+2 of 6+2, 2+1 of 5+1, 1+0 of 4+0; 10 words for 12 in the references.
  const expected = 100 * Math.exp(1 - 12 / 10) * ((9 / 10) * (6 / 8) * (3 / 6) * (1 / 4)) ** 0.25
  for (const [name, metric] of Object.entries(variants)) {
    t.ok(near(score(metric, hypotheses, references), expected), name)
    t.ok(near(score(metric, ['one two three four'], [['one two three four']]), 100), name)
  }
  t.end()
})

t.test('only e2e-metrics ignores case, and only multi-bleu.perl leaves punctuation at words', (t) => {
  const scores = Object.entries(variants).map(([name, metric]) => {
    const cased = score(metric, ['One two three four five'], [['one two three four five']])
    const separated = score(metric, ['one two three four five.'], [['one two three four five .']])
    return [name, near(cased, 100), near(separated, 100)]
  })
  t.same(scores, [
    ['bleu', true, true],
    ['multiBleu', false, false],
    ['multiBleuDetok', false, true],
    ['sacrebleu', false, true],
  ])
  t.end()
})

t.test('an order without hits: floored, zero, or smoothed', (t) => {
  const texts = [['a b c d e'], [['a b x d e']]] as const
  // Hits 4 of 5, 2 of 4, none of 3 and 2.
  t.ok(near(score(bleu, ...texts), 100 * ((4 / 5) * (2 / 4) * (1e-15 / 3) * (1e-15 / 2)) ** 0.25))
  t.equal(score(multiBleu, ...texts), 0)
  t.equal(score(multiBleuDetok, ...texts), 0)
  t.ok(near(score(sacrebleu, ...texts), 100 * ((4 / 5) * (2 / 4) * (1 / 2 / 3) * (1 / 4 / 2)) ** 0.25))
  t.end()
})

t.test('nothing on either side and texts of a word give a number', (t) => {
  const sides = ['', 'a', 'a b c d e']
  for (const metric of Object.values(variants)) {
    for (const hypothesis of sides) {
      for (const references of [['a b c d e'], [''], ['', 'x']]) {
        const value = score(metric, [hypothesis], [references])
        t.ok(value >= 0 && value <= 100 + 1e-9, `'${hypothesis}' for '${references.join("' or '")}' is ${value}`)
      }
    }
  }
  t.ok(score(bleu, [''], [['a b c d e']]) < 1e-6)
  t.ok(score(bleu, ['x y z w'], [['a b c d']]) < 1e-9)
  t.end()
})

t.test('an empty output counts as one word to e2e-metrics, as to its script', (t) => {
  const [counts] = bleu.instances([''], [['a b']])
  t.same([...(counts ?? [])], [0, 0, 0, 0, 1, 0, -1, -2, 2])
  const [perl] = multiBleuDetok.instances([''], [['a b']])
  t.same([...(perl ?? [])], [0, 0, 0, 0, 0, 0, 0, 0, 2])
  t.end()
})

t.test('every output needs a reference', (t) => {
  t.throws(() => score(bleu, ['a'], [[]]), { message: 'Expected at least one reference for hypothesis 1, got none' })
  t.throws(() => score(bleu, ['a'], []), RangeError)
  t.end()
})

t.test("sacrebleu's own numbers, text by text and of them all", (t) => {
  for (const name of ['sacrebleu', 'multi_bleu_detok', 'multi_bleu'] as const) {
    for (const { hypothesis, references, scores } of golden.cases) {
      const value = score(metrics[name], [hypothesis], [references])
      t.ok(near(value, scores[name]), `${name} of '${hypothesis}' is ${value}, expected ${scores[name]}`)
    }
    t.ok(near(score(metrics[name], goldenHypotheses, goldenReferences), golden.corpus[name]), name)
  }
  t.end()
})

if (hasVectors) {
  t.test("the official script's BLEU of its example", (t) => {
    const { hypotheses, references, scores } = readE2eExample()
    t.ok(near(score(bleu, hypotheses, references) / 100, scores.bleu_py, 2 ** -52))
    t.end()
  })

  const expected = readVectorJson<Record<string, { bleu_py: number }>>('e2e/expected.json')
  for (const system of e2eSystems) {
    t.test(`the official script's BLEU of the E2E challenge system ${system}`, (t) => {
      const { hypotheses, references } = readE2eSystem(system)
      const ours = score(bleu, hypotheses, references) / 100
      const official = expected[system]?.bleu_py as number
      // Two units in the last place: logarithms differ that much between languages.
      t.ok(near(ours, official, 2 ** -52), `${ours} is ${official}`)
      t.end()
    })
  }

  type Printed = { bleu: number; p: number[]; hyp_len: number; ref_len: number }
  const printed = readVectorJson<Record<string, Record<string, Printed>>>('multibleu/expected.json')
  const checkPrinted = (metric: typeof bleu, texts: ReturnType<typeof readParallel>, official: Printed) => {
    const { hypotheses, references } = texts
    t.equal(score(metric, hypotheses, references).toFixed(2), official.bleu.toFixed(2))
    const counts = metric.instances(hypotheses, references)
    const sum = (at: number) => counts.reduce((total, row) => total + (row[at] as number), 0)
    t.same([sum(4), sum(8)], [official.hyp_len, official.ref_len])
    for (const i of [0, 1, 2, 3]) t.equal(((100 * sum(i)) / sum(4 + i)).toFixed(1), official.p[i]?.toFixed(1))
  }

  t.test("multi-bleu's lines for DART", (t) => {
    const texts = readParallel(
      'multibleu/dart_bart_large_hyp.txt.gz',
      [0, 1, 2].map((i) => `multibleu/dart_ref${i}.txt.gz`),
    )
    const official = printed.dart_bart_large ?? {}
    checkPrinted(multiBleu, texts, official['multi-bleu.perl (whitespace tokens, case-sensitive)'] as Printed)
    checkPrinted(multiBleuDetok, texts, official['multi-bleu-detok.perl (13a-style tokenizer)'] as Printed)
    t.end()
  })

  t.test("multi-bleu's lines for WebNLG", (t) => {
    const files = [0, 1, 2, 3].map((i) => `multibleu/webnlg2020_ref${i}.txt.gz`)
    const texts = readParallel('multibleu/webnlg2020_hyp.txt.gz', files)
    const map = (change: (text: string, i: number) => string) => ({
      hypotheses: texts.hypotheses.map(change),
      references: texts.references.map((group, i) => group.map((text) => change(text, i))),
    })
    // The files do not end their last line, and multi-bleu.perl chops one character off every line.
    const chopped = map((text, i) => (i === texts.hypotheses.length - 1 ? text.slice(0, -1) : text))
    const official = printed.webnlg2020_example ?? {}
    checkPrinted(multiBleu, chopped, official['multi-bleu.perl (whitespace)'] as Printed)
    checkPrinted(multiBleuDetok, texts, official['multi-bleu-detok.perl'] as Printed)
    const lower = map((text) => text.toLowerCase())
    checkPrinted(multiBleuDetok, lower, official['multi-bleu-detok.perl -lc'] as Printed)
    t.end()
  })

  t.test("cases of sacrebleu's own tests", (t) => {
    interface Case {
      readonly hyps: string[]
      readonly ref_streams: string[][]
      readonly opts: Readonly<Record<string, unknown>>
      readonly score: number
    }
    const defaults = readVectorJson<{ corpus_bleu: Case[] }>('sacrebleu.json').corpus_bleu.filter(
      ({ opts }) => Object.keys(opts).length === 0 || opts.tokenize === '13a',
    )
    t.ok(defaults.length >= 3)
    for (const { hyps, ref_streams, score: official } of defaults) {
      const references = hyps.map((_, i) => ref_streams.map((stream) => stream[i] as string))
      t.ok(near(score(sacrebleu, hyps, references), official, 1e-6))
    }
    t.end()
  })
}
