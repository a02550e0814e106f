/** BLEU against values worked out by hand, and against the official script's where its outputs are at hand. */
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { gunzipSync } from 'node:zlib'
import t from 'tap'
import { bleu } from '../../src/evaluation/bleu.ts'
import { metrics, score } from '../../src/evaluation/metrics.ts'
import { groupByContext } from '../../src/evaluation/references.ts'

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
  const expected = Math.exp(1 - 12 / 10) * ((9 / 10) * (6 / 8) * (3 / 6) * (1 / 4)) ** 0.25
  t.ok(Math.abs(score(metrics.bleu, hypotheses, references) - 100 * expected) < 1e-12)
  t.equal(score(metrics.bleu, ['one two three four'], [['One two three four']]), 100)
  t.end()
})

t.test('no output and no match give next to nothing, never NaN', (t) => {
  t.ok(score(bleu, [''], [['a b c d e']]) < 1e-9)
  t.ok(score(bleu, ['x y z w'], [['a b c d']]) < 1e-9)
  t.throws(() => score(bleu, ['a'], [[]]), { message: 'Expected at least one reference for hypothesis 1, got none' })
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
      const hypotheses = outputs.map(({ hyp }) => hyp)
      const groups = outputs.map(({ mr }) => references.get(mr) ?? [])
      const ours = score(bleu, hypotheses, groups) / 100
      const official = expected[system]?.bleu_py as number
      // One unit in the last place: logarithms differ that much between languages.
      t.ok(Math.abs(ours - official) <= 2 ** -53, `${ours} is ${official}`)
      t.end()
    })
  }
}
