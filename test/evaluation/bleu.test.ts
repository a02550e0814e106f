/** BLEU against values worked out by hand, and against the official script's where its outputs are at hand. */
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { gunzipSync } from 'node:zlib'
import t from 'tap'
import { bleuInstance, bleuOf, tokenize13a } from '../../src/evaluation/bleu.ts'
import { metrics, score, sumCounts } from '../../src/evaluation/metrics.ts'
import { groupByContext } from '../../src/evaluation/references.ts'

t.test('punctuation is split off, but not inside numbers, words and contractions', (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['Cosy, cheap (and near).', 'cosy , cheap ( and near ) .'],
    ['It costs £20-25.', 'it costs £20 - 25 .'],
    ['1,000.50 guests.', '1,000.50 guests .'],
    ['a family-friendly place', 'a family-friendly place'],
    ["they don't; it's 5/5!", "they don't ; it's 5 / 5 !"],
    ['Bar &amp; Grill &quot;Sun&quot;', 'bar & grill " sun "'],
    ['rated 5.', 'rated 5 .'],
    ['  ', ''],
  ]
  for (const [text, tokens] of cases) t.equal(tokenize13a(text).join(' '), tokens)
  t.end()
})

t.test('hits are clipped at the reference that has most, lengths are of the closest reference', (t) => {
  // "the" three times, at most two in one reference; bigrams "the cat" and "the the" of which only the first is there.
  const counts = bleuInstance('the the the cat', ['the cat on the mat', 'a cat', 'the cat'])
  t.same([...counts], [3, 1, 0, 0, 4, 3, 2, 1, 5])
  t.same(bleuInstance('a b c', ['a b', 'a b c d'])[8], 2, 'the shorter of two that are as close')
  t.end()
})

t.test('a corpus is scored by its summed counts', (t) => {
  const hypotheses = ['the inn serves fish by the river', 'a cheap pub']
  const references = [['the inn serves fish near the river'], ['it is a cheap pub']]
  // Hits 6+3 of 7+3, 4+2 of 6+2, 2+1 of 5+1, 1+0 of 4+0; 10 words for 12 in the references.
  const expected = Math.exp(1 - 12 / 10) * ((9 / 10) * (6 / 8) * (3 / 6) * (1 / 4)) ** 0.25
  t.ok(Math.abs(score(metrics.bleu, hypotheses, references) - 100 * expected) < 1e-12)
  t.equal(score(metrics.bleu, ['one two three four'], [['One two three four']]), 100)
  t.end()
})

t.test('no output and no match give next to nothing, never NaN', (t) => {
  t.ok(bleuOf(bleuInstance('', ['a b c d e'])) < 1e-9)
  t.ok(bleuOf(bleuInstance('x y z w', ['a b c d'])) < 1e-9)
  t.throws(() => bleuInstance('a', []), { message: "Expected at least one reference for 'a', got none" })
  t.throws(() => score(metrics.bleu, ['a'], []), RangeError)
  t.end()
})

interface Output {
  readonly mr: string
  readonly hyp: string
}
const data = resolve(import.meta.dirname, '../../../shared/data')
const vectors = resolve(data, 'metric-vectors/e2e')

/** Rows of a CSV of two quoted columns. */
function csvRows(text: string): (readonly [string, string])[] {
  return [...text.matchAll(/^"((?:[^"]|"")*)","((?:[^"]|"")*)"\r?$/gm)].map(([, mr = '', reference = '']) => [
    mr.replaceAll('""', '"'),
    reference.replaceAll('""', '"'),
  ])
}

if (existsSync(vectors)) {
  const unzipped = (path: string) => gunzipSync(readFileSync(path)).toString('utf8')
  const rows = csvRows(unzipped(resolve(data, 'e2e/testset_w_refs.csv.gz'))).slice(1)
  const references = new Map(groupByContext(rows).map((group) => [group.context, group.references]))
  const expected = JSON.parse(readFileSync(resolve(vectors, 'expected.json'), 'utf8')) as Record<
    string,
    { bleu_py: number }
  >
  for (const system of ['adapt', 'gong', 'sheff1', 'slug', 'tgen', 'tr1', 'zhaw1']) {
    t.test(`the official script's BLEU of the E2E challenge system ${system}`, (t) => {
      const outputs = JSON.parse(unzipped(resolve(vectors, `primary/${system}.json.gz`))) as Output[]
      const counts = outputs.map(({ mr, hyp }) => bleuInstance(hyp, references.get(mr) ?? []))
      const official = expected[system]?.bleu_py as number
      // One unit in the last place: logarithms differ that much between languages.
      t.ok(Math.abs(bleuOf(sumCounts(counts)) - official) <= 2 ** -53, `${bleuOf(sumCounts(counts))} is ${official}`)
      t.end()
    })
  }
}
