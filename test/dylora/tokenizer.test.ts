/** The tokenizer: ids as the reference implementation gives them, and bytes for streaming. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import { Tokenizer as Reference } from 'tokenizers'
import { parseTokenizer, readTokenizer } from '../../src/dylora/tokenizer.ts'
import { buildTokenizerJson } from '../../src/dylora/tokenizer-json.ts'
import { fixturePath } from '../fixtures/golden.ts'

const path = fixturePath('gpt2', 'tokenizer.json')
const json = readFileSync(path, 'utf8')
const tokenizer = parseTokenizer(json, (reason) => new Error(reason))
const anyText = fc.oneof(
  fc.string(),
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: 'binary' }).filter(isWellFormed),
)

function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text)
}

t.test('ids are those of the reference implementation', async (t) => {
  const reference = Reference.fromFile(path)
  const agrees = async (text: string) => {
    const expected = await reference.encode(text, null, { addSpecialTokens: false })
    t.strictSame(tokenizer.encode(text), expected.getIds(), JSON.stringify(text))
  }
  await fc.assert(fc.asyncProperty(anyText, agrees), { numRuns: 200 })
})

t.test('text survives encoding and decoding', async () => {
  fc.assert(fc.property(anyText, (text) => tokenizer.decode(tokenizer.encode(text)) === text))
})

t.test('the bytes of tokens, one after another, are the text in UTF-8', async () => {
  const bytesOf = (text: string) => Buffer.concat(tokenizer.encode(text).map(tokenizer.tokenBytes))
  fc.assert(fc.property(anyText, (text) => bytesOf(text).equals(Buffer.from(text))))
})

t.test('a text has at least as many tokens as is said without tokenizing it', async (t) => {
  const repeated = fc.tuple(anyText, fc.nat(50)).map(([text, times]) => text.repeat(times))
  const holds = (text: string) => tokenizer.atLeast(text, 1e9) <= tokenizer.encode(text).length
  fc.assert(fc.property(fc.oneof(anyText, repeated), holds))
  const said = "The Vaults is a pub near Caf\u00e9 Adriatic. It's rated 5 out of 5 !!!!!!!!<|endoftext|>"
  const [least, all] = [tokenizer.atLeast(said, 1e9), tokenizer.encode(said).length]
  t.ok(least > all / 2 && least <= all, `${least} of ${all}`)
  t.equal(tokenizer.atLeast('z'.repeat(2 ** 20), 10), 11, 'no further than it is asked')
  t.equal(tokenizer.atLeast('', 10), 0)
  const changes = { normalizer: { type: 'NFC' } }
  const other = parseTokenizer(JSON.stringify({ ...JSON.parse(json), ...changes }), (reason) => new Error(reason))
  t.equal(other.atLeast('e\u0301'.repeat(1000), 10), 0, 'nothing is said where bytes may vanish')
})

t.test('no text has no tokens, and no tokens have no text', async (t) => {
  t.strictSame(tokenizer.encode(''), [])
  t.equal(tokenizer.decode([]), '')
})

t.test('special tokens written out are recognised, kept in text and known as special', async (t) => {
  const ids = tokenizer.encode('a<|endoftext|>b')
  t.equal(ids[1], tokenizer.tokenId('<|endoftext|>'))
  t.equal(tokenizer.decode(ids), 'a<|endoftext|>b')
  t.strictSame(ids.map(tokenizer.isSpecial), [false, true, false])
})

t.test('a token that is part of a character shows as a replacement character', async (t) => {
  const ids = tokenizer.encode('\u{1f600}')
  t.ok(ids.length > 1)
  t.equal(tokenizer.tokenText(ids[0] ?? 0), '\ufffd')
})

t.test('ids beyond the tokenizer, which a model with padded embeddings can give, are empty', async (t) => {
  t.equal(tokenizer.vocabSize, 300)
  t.equal(tokenizer.tokenText(300), '')
  t.equal(tokenizer.decode([34, 5000]), tokenizer.decode([34]))
  t.notOk(tokenizer.isSpecial(300))
  t.throws(() => tokenizer.tokenBytes(-1), { message: 'expected a token id, got -1' })
  t.throws(() => tokenizer.tokenBytes(1.5), RangeError)
})

t.test('a tokenizer that is missing, broken or of another kind is refused with a reason', async (t) => {
  const directory = t.testdir({ 'tokenizer.json': '{' })
  await t.rejects(readTokenizer(directory), { code: 'base_model_invalid', message: /tokenizer\.json: / })
  await t.rejects(readTokenizer(join(directory, 'no')), { message: /there is no tokenizer\.json/ })
  const parse = (edit: (json: { model: { type: string; vocab: Record<string, number> } }) => void) => () => {
    const edited = JSON.parse(json)
    edit(edited)
    return parseTokenizer(JSON.stringify(edited), (reason) => new Error(reason))
  }
  t.throws(
    parse((json) => Object.assign(json.model, { type: 'Unigram' })),
    { message: /expected byte-level BPE.*model\.type/ },
  )
  t.throws(
    parse((json) => Object.assign(json.model.vocab, { 漢: 300 })),
    { message: /token 300 '漢' is not byte-level BPE/ },
  )
})

t.test("GPT-2's own vocabulary gives its known ids, where the optional data is there", async (t) => {
  const data = fixturePath('..', '..', '..', 'shared', 'data', 'gpt2-bpe')
  if (!existsSync(data)) return
  const text = (name: string) => gunzipSync(readFileSync(join(data, name))).toString('utf8')
  const built = buildTokenizerJson(JSON.parse(text('encoder.json.gz')), text('vocab.bpe.gz'))
  const gpt2 = parseTokenizer(built, (reason) => new Error(reason))
  t.equal(gpt2.vocabSize, 50257)
  t.strictSame(gpt2.encode('Hello world'), [15496, 995])
  t.equal(gpt2.tokenId('<|endoftext|>'), 50256)
  t.equal(
    gpt2.decode(gpt2.encode('naïve café \u{1f600} toString constructor')),
    'naïve café \u{1f600} toString constructor',
  )
})
