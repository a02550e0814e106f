/** TER against values worked out by hand, against sacrebleu's, and against tercom's where its outputs are at hand. */
import t from 'tap'
import { score, sumCounts } from '../../src/evaluation/metrics.ts'
import { ter, tercom } from '../../src/evaluation/ter.ts'
import { hasVectors, readParallel, readVectorJson, readVectorLines } from '../fixtures/metric-vectors.ts'
import { golden, goldenHypotheses, goldenReferences } from '../fixtures/text-metrics.ts'

/** Edits and mean reference length of one instance. */
const counts = (hypothesis: string, references: readonly string[], metric = ter) => [
  ...(metric.instances([hypothesis], [references])[0] ?? []),
]

t.test('words are inserted, dropped and replaced, and phrases are moved, at one edit each', (t) => {
  t.same(counts('a b c d', ['a b c d']), [0, 4])
  t.same(counts('a b d e f', ['a b c d x']), [3, 5])
  t.same(counts('d e f g h a b c', ['a b c d e f g h']), [1, 8])
  t.same(counts('e f a b c d x', ['a b c d e f g']), [2, 7])
  t.end()
})

t.test('the reference with fewest edits counts, by the mean length of all', (t) => {
  t.same(counts('a b c', ['x y z w v u t', 'a b d', 'a b']), [1, 4])
  t.equal(score(ter, ['a b c', 'a'], [['a b d', 'x'], ['a']]), 1 / 3)
  t.end()
})

t.test('a phrase of more than ten words moves in parts, and none moves further than fifty words', (t) => {
  const words = (prefix: string, count: number) => Array.from({ length: count }, (_, i) => `${prefix}${i}`).join(' ')
  t.same(counts(`${words('a', 10)} ${words('b', 12)}`, [`${words('b', 12)} ${words('a', 10)}`]), [1, 22])
  t.same(counts(`${words('a', 11)} ${words('b', 12)}`, [`${words('b', 12)} ${words('a', 11)}`]), [2, 23])
  t.same(counts(`${words('b', 49)} a0 a1`, [`a0 a1 ${words('b', 49)}`]), [1, 51])
  t.same(counts(`${words('b', 60)} a0 a1`, [`a0 a1 ${words('b', 60)}`]), [4, 62])
  t.end()
})

t.test('options change the words', (t) => {
  t.same(counts('The pub.', ['the pub .']), [2, 3])
  t.same(counts('The pub.', ['the pub .'], tercom({ caseSensitive: true })), [3, 3])
  t.same(counts("The pub's &amp; <skipped>.", ["the pub 's & ."], tercom({ normalize: true })), [0, 5])
  t.same(counts('The (pub).', ['the pub!'], tercom({ removePunctuation: true })), [0, 2])
  t.same(counts('The pub.', ['the pub'], tercom({ caseSensitive: true, removePunctuation: true })), [1, 2])
  t.end()
})

t.test("Java's split leaves an empty word where punctuation was removed before the first", (t) => {
  t.same(counts(', a b', ['a b'], tercom({ removePunctuation: true })), [1, 2])
  t.same(counts('a b ,', ['a b'], tercom({ removePunctuation: true })), [0, 2])
  t.same(counts('.', ['a b'], tercom({ removePunctuation: true })), [2, 2])
  t.end()
})

t.test('nothing on either side gives a number', (t) => {
  t.equal(score(ter, ['a'], [['']]), 1)
  t.equal(score(ter, ['a b c'], [['']]), 1)
  t.equal(score(ter, [' '], [['']]), 0)
  t.same(counts('', ['a b']), [2, 2])
  t.same(counts('a b', ['', 'a c']), [1, 1])
  t.end()
})

t.test("sacrebleu's own numbers, under each option and of all texts", (t) => {
  const options = {
    default: ter,
    caseSensitive: tercom({ caseSensitive: true }),
    normalize: tercom({ normalize: true }),
    removePunctuation: tercom({ removePunctuation: true }),
  }
  for (const { hypothesis, references, ter: expected } of golden.cases) {
    for (const [name, metric] of Object.entries(options)) {
      const [edits = 0, length = 0] = expected[name as keyof typeof options]
      const ours = counts(hypothesis, references, metric)
      t.ok(
        ours[0] === edits && Math.abs((ours[1] ?? 0) - length) < 1e-9,
        `${name}: '${hypothesis}' is ${ours.join('/')}`,
      )
    }
  }
  t.ok(Math.abs(score(ter, goldenHypotheses, goldenReferences) - golden.corpus.ter) < 1e-12)
  t.end()
})

if (hasVectors) {
  t.test("tercom's totals for its sample under four options", (t) => {
    const segment = (line: string) => /^\s*(.*?)\s*\(([^()]+)\)\s*$/.exec(line)?.slice(1) as [text: string, id: string]
    const outputs = readVectorLines('tercom/sample_hyp.txt.gz').map(segment)
    const references = readVectorLines('tercom/sample_ref.txt.gz').map(segment)
    const groups = outputs.map(([, id]) => references.filter(([, other]) => other === id).map(([text]) => text))
    const options = {
      default: {},
      '-s (case sensitive)': { caseSensitive: true },
      '-N (normalise)': { normalize: true },
      '-P (no punctuation)': { removePunctuation: true },
    }
    type Totals = Record<string, { ter: number; edits: number; ref_words: number }>
    const official = readVectorJson<{ 'tercom-0.7.25': Totals }>('tercom/expected.json')['tercom-0.7.25']
    for (const [name, option] of Object.entries(options)) {
      const metric = tercom(option)
      const totals = sumCounts(
        metric.instances(
          outputs.map(([text]) => text),
          groups,
        ),
      )
      t.same([...totals], [official[name]?.edits, official[name]?.ref_words], name)
      t.equal(metric.combine(totals), official[name]?.ter, name)
    }
    t.end()
  })

  t.test("tercom's TER of BART-large on DART", (t) => {
    const texts = readParallel(
      'multibleu/dart_bart_large_hyp.txt.gz',
      [0, 1, 2].map((i) => `multibleu/dart_ref${i}.txt.gz`),
    )
    const given = texts.references.map((group) => group.filter((text) => text.trim() !== ''))
    const official =
      readVectorJson<Record<string, Record<string, { ter: number; edits: number }>>>('multibleu/expected.json')
        .dart_bart_large?.['tercom-0.7.25 default options, multi-ref, empty refs dropped']
    const totals = sumCounts(ter.instances(texts.hypotheses, given))
    t.equal(totals[0], official?.edits)
    t.ok(Math.abs(ter.combine(totals) - (official?.ter ?? 0)) < 1e-14)
    t.end()
  })
}
