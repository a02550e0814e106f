/** GroupQueryAttention over a cache that is past and present at once: written in place, slot by slot, ragged rows too. */
import t from 'tap'
import type { NativeSession } from '../../../src/onnx/native/session.ts'
import type { NativeTensor } from '../../../src/onnx/native/tensor.ts'
import { randomNumbers } from '../../fixtures/gradient-check.ts'
import { attentionModel, float32, int32, openCpu, runOnce } from '../../fixtures/native-models.ts'
import { largestDifference } from '../../fixtures/serving.ts'

const [heads, headSize, capacity] = [2, 8, 16]
const hidden = heads * headSize
const slotSize = heads * capacity * headSize
const random = randomNumbers(17)
const draw = (size: number) => Array.from({ length: size }, () => 2 * random() - 1)

interface Token {
  readonly q: number[]
  readonly k: number[]
  readonly v: number[]
}
const drawToken = (): Token => ({ q: draw(hidden), k: draw(hidden), v: draw(hidden) })

/** One run over slots that lie side by side; returns y, `hidden` numbers a token. */
async function step(session: NativeSession, cache: NativeTensor[], rows: Token[][], lengths: number[]) {
  const tokens = rows.flat()
  const shape = [rows.length, tokens.length / rows.length, hidden]
  const part = (name: keyof Token) =>
    float32(
      tokens.flatMap((token) => token[name]),
      shape,
    )
  const [key, value] = cache as [NativeTensor, NativeTensor]
  const y = session.allocate('float32', shape, 'host')
  const inputs = {
    ...{ q: part('q'), k: part('k'), v: part('v'), past_key: key, past_value: value },
    seqlens_k: int32(
      lengths.map((length) => length - 1),
      [lengths.length],
    ),
    total_sequence_length: int32([Math.max(...lengths)], []),
  }
  await runOnce(session, inputs, { y, present_key: key, present_value: value })
  return [...y.data]
}

/** Softmax attention of the last of `tokens` over all of them, head by head. */
function attend(tokens: readonly Token[]): number[] {
  return Array.from({ length: heads }, (_, head) => {
    const part = (values: readonly number[]) => values.slice(head * headSize, (head + 1) * headSize)
    const query = part(tokens.at(-1)?.q ?? [])
    const scores = tokens.map(
      ({ k }) => part(k).reduce((sum, x, i) => sum + x * (query[i] ?? 0), 0) / Math.sqrt(headSize),
    )
    const weights = scores.map((score) => Math.exp(score - Math.max(...scores)))
    const total = weights.reduce((sum, weight) => sum + weight, 0)
    return query.map((_, i) =>
      tokens.reduce((sum, { v }, j) => sum + ((weights[j] ?? 0) / total) * (part(v)[i] ?? 0), 0),
    )
  }).flat()
}

/** Where the cache keeps what a token left there: all heads at one position. */
function cached(cache: NativeTensor, position: number): number[] {
  return Array.from({ length: heads }, (_, head) =>
    [...cache.view((head * capacity + position) * headSize, [headSize]).data].map(Number),
  ).flat()
}

for (const [dtype, tolerance] of [
  ['float32', 1e-5],
  ['float16', 5e-3],
] as const) {
  t.test(`a ${dtype} cache is filled in place, and only where the tokens belong`, async (t) => {
    const session = await openCpu(attentionModel(heads, headSize, dtype))
    const caches = ['key', 'value'].map(() => session.allocate(dtype, [3, heads, capacity, headSize], 'device'))
    const slots = (first: number, count: number) =>
      caches.map((cache) => cache.view(first * slotSize, [count, heads, capacity, headSize]))
    const sequences = [5, 3, 1].map((length) => Array.from({ length }, drawToken))

    for (const [slot, tokens] of sequences.entries()) {
      const y = await step(session, slots(slot, 1), [tokens], [tokens.length])
      t.ok(largestDifference(y.slice(-hidden), attend(tokens)) < tolerance, `prompt in slot ${slot}`)
    }
    for (const round of [1, 2, 3]) {
      for (const tokens of sequences) tokens.push(drawToken())
      const rows = sequences.map((tokens) => tokens.slice(-1))
      const lengths = sequences.map(({ length }) => length)
      const y = await step(session, slots(0, 3), rows, lengths)
      t.ok(largestDifference(y, sequences.flatMap(attend)) < tolerance, `token ${round} of all slots at once`)
    }
    const chunk = [drawToken(), drawToken(), drawToken()]
    sequences[1]?.push(...chunk)
    const y = await step(session, slots(1, 1), [chunk], [9])
    t.ok(largestDifference(y.slice(-hidden), attend(sequences[1] ?? [])) < tolerance, 'three more tokens of slot 1')

    for (const [slot, cache] of slots(2, 1).entries()) {
      t.ok(
        cached(cache, 3).every((value) => value !== 0),
        `the last token is in cache ${slot}`,
      )
      t.ok(
        cached(cache, 4).every((value) => value === 0),
        `nothing after it in cache ${slot}`,
      )
    }
    session.close()
  })
}

t.test('keys and values lie in the cache as they were given', async (t) => {
  const session = await openCpu(attentionModel(heads, headSize, 'float32'))
  const caches = ['key', 'value'].map(() => session.allocate('float32', [1, heads, capacity, headSize], 'host'))
  const tokens = [drawToken(), drawToken()]
  await step(session, caches, [tokens], [2])
  for (const [position, { k, v }] of tokens.entries()) {
    t.ok(largestDifference(cached(caches[0]!, position), k) < 1e-7)
    t.ok(largestDifference(cached(caches[1]!, position), v) < 1e-7)
  }
  session.close()
})
