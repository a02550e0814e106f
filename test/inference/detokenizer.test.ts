/** Streaming text: the pieces make the whole, characters stay whole, stop strings cut exactly. */
import fc from 'fast-check'
import t from 'tap'
import { readTokenizer } from '../../src/dylora/tokenizer.ts'
import { Detokenizer } from '../../src/inference/detokenizer.ts'
import { fixturePath } from '../fixtures/golden.ts'

const tokenizer = await readTokenizer(fixturePath('gpt2'))
const eos = tokenizer.tokenId('<|endoftext|>') ?? Number.NaN

/** A vocabulary whose tokens are these strings or bytes, none special. */
function vocabulary(...tokens: (string | readonly number[])[]) {
  const bytes = tokens.map((token) => (typeof token === 'string' ? Buffer.from(token) : Uint8Array.from(token)))
  return { tokenBytes: (id: number) => bytes[id] ?? new Uint8Array(0), isSpecial: () => false }
}

/** Pushes until stopped. */
function stream(detokenizer: Detokenizer, ids: readonly number[]) {
  const deltas: string[] = []
  let stopped = false
  for (const id of ids) {
    if (stopped) break
    const pushed = detokenizer.push(id)
    deltas.push(pushed.delta)
    stopped = pushed.stopped
  }
  return { deltas, stopped, rest: detokenizer.flush(), text: detokenizer.text }
}

const anyText = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: 'binary' }).filter((text) => !/\p{Surrogate}/u.test(text)),
)
const ordinaryIds = fc.array(fc.nat({ max: tokenizer.vocabSize - 1 }).filter((id) => !tokenizer.isSpecial(id)))

t.test('the pieces of any text make the text', async () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const { deltas, rest, text: whole } = stream(new Detokenizer(tokenizer, []), tokenizer.encode(text))
      const special = text.includes('<|endoftext|>')
      return special || (deltas.join('') + rest === text && whole === text)
    }),
  )
})

t.test('the pieces of any tokens, also of broken characters, make what they decode to at once', async () => {
  fc.assert(
    fc.property(ordinaryIds, fc.array(fc.string({ minLength: 1 })), (ids, stop) => {
      const { deltas, rest, text, stopped } = stream(new Detokenizer(tokenizer, stop), ids)
      return deltas.join('') + rest === text && (stopped || text === tokenizer.decode(ids))
    }),
    { numRuns: 1000 },
  )
})

t.test('a character is published when it is complete', async (t) => {
  const detokenizer = new Detokenizer(vocabulary([0xf0, 0x9f], [0x98], [0x80, 0x21]), [])
  t.strictSame(
    [0, 1, 2].map((id) => detokenizer.push(id).delta),
    ['', '', '😀!'],
  )
  t.equal(detokenizer.flush(), '')
})

t.test('an incomplete character at the end becomes the replacement character', async (t) => {
  const detokenizer = new Detokenizer(vocabulary('a', [0xf0, 0x9f]), [])
  t.strictSame([detokenizer.push(0).delta, detokenizer.push(1).delta], ['a', ''])
  t.equal(detokenizer.text, 'a')
  t.equal(detokenizer.flush(), '\ufffd')
  t.equal(detokenizer.text, 'a\ufffd')
})

t.test('a byte order mark is text', async (t) => {
  const { text } = stream(new Detokenizer(vocabulary([0xef, 0xbb], [0xbf], 'a'), []), [0, 1, 2, 0, 1])
  t.equal(text, '\ufeffa\ufeff')
})

t.test('special tokens add no text', async (t) => {
  const [first, ...others] = tokenizer.encode('né')
  const { text, deltas } = stream(new Detokenizer(tokenizer, ['<|endoftext|>']), [first ?? 0, eos, ...others, eos])
  t.equal(text, 'né')
  t.equal(deltas[1], '')
})

t.test('the beginning of a stop string is held back until it is complete or refuted', async (t) => {
  const detokenizer = new Detokenizer(vocabulary('one\n', '\n', 'two', '\nEND'), ['\n\nEND'])
  const steps: [number, string, string][] = [
    [0, 'one', 'one\n'],
    [1, '', 'one\n\n'],
    [1, '\n', 'one\n\n\n'],
    [2, '\n\ntwo', 'one\n\n\ntwo'],
    [1, '', 'one\n\n\ntwo\n'],
  ]
  for (const [id, delta, text] of steps) {
    t.strictSame(detokenizer.push(id), { delta, stopped: false })
    t.equal(detokenizer.text, text)
  }
  t.strictSame(detokenizer.push(3), { delta: '\n\nEND', stopped: true })
  t.equal(detokenizer.text, 'one\n\n\ntwo\n\nEND')
})

t.test('what is held back without a stop comes at the end', async (t) => {
  const detokenizer = new Detokenizer(vocabulary('ab'), ['abc'])
  t.equal(detokenizer.push(0).delta, '')
  t.equal(detokenizer.flush(), 'ab')
  t.equal(detokenizer.flush(), '')
})

t.test('a stop string may begin and end inside tokens; the rest of the last is dropped', async (t) => {
  const detokenizer = new Detokenizer(vocabulary('a ST', 'O', 'P and more'), ['STOP'])
  const { deltas, stopped, rest, text } = stream(detokenizer, [0, 1, 2])
  t.strictSame({ deltas, stopped, rest, text }, { deltas: ['a ', '', 'STOP'], stopped: true, rest: '', text: 'a STOP' })
  t.strictSame(detokenizer.push(0), { delta: '', stopped: true }, 'nothing comes after')
  t.equal(detokenizer.text, 'a STOP')
})

t.test('of several stop strings the one that is complete first cuts', async (t) => {
  const detokenizer = new Detokenizer(vocabulary('xabcd'), ['abcd', 'bc'])
  t.strictSame(detokenizer.push(0), { delta: 'xabc', stopped: true })
})

t.test('the text is cut as by a search in the whole, wherever the tokens divide it', async () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'é'), maxLength: 12 })
  const stops = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'é'), minLength: 1, maxLength: 4 }), {
    maxLength: 3,
  })
  fc.assert(
    fc.property(fc.array(letters), stops, (tokens, stop) => {
      const whole = tokens.join('')
      const ends = stop.map((s) => whole.indexOf(s) + s.length).filter((end, i) => whole.includes(stop[i] ?? '') && end)
      const expected = whole.slice(0, Math.min(whole.length, ...ends))
      const { deltas, rest, text, stopped } = stream(new Detokenizer(vocabulary(...tokens), stop), [...tokens.keys()])
      return text === expected && deltas.join('') + rest === text && stopped === ends.length > 0
    }),
    { numRuns: 2000 },
  )
})

t.test('a fork goes on as the original does, and neither hears of the other', async () => {
  // Single bytes, of characters of one to four: also in orders that make none.
  const bytes = [...Buffer.from('aé€😀')]
  const tokens = vocabulary(...bytes.map((byte) => [byte]), 'a', 'é', '😀')
  const anyIds = fc.array(
    fc.oneof(
      fc.nat({ max: bytes.length + 2 }).map((id) => [id]),
      fc.constant([6, 7, 8]),
      fc.constant([9]),
    ),
  )
  const anyStop = fc.array(fc.string({ unit: fc.constantFrom('a', 'é', '😀'), minLength: 1 }), { maxLength: 2 })
  fc.assert(
    fc.property(anyIds, anyIds, anyIds, anyStop, (before, after, other, stop) => {
      const original = new Detokenizer(tokens, stop)
      for (const id of before.flat()) original.push(id)
      const fork = original.fork().fork()
      const elsewhere = original.fork()
      for (const id of other.flat()) elsewhere.push(id)
      const pieces = (detokenizer: Detokenizer) => JSON.stringify(stream(detokenizer, after.flat()))
      return pieces(fork) === pieces(original)
    }),
    { numRuns: 2000 },
  )
})

t.test('an empty stop string is refused', async (t) => {
  t.throws(() => new Detokenizer(tokenizer, ['a', '']), { code: 'validation', facts: { pointer: '/parameters/stop' } })
})
