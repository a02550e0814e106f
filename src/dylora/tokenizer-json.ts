/** Makes `tokenizer.json` of the two files that GPT-2's first tokenizer had, `vocab.json` and `merges.txt`. */

const endOfText = '<|endoftext|>'

/** `merges` has one merge a line, best first, after a line with the version. */
export function buildTokenizerJson(vocab: Readonly<Record<string, number>>, merges: string): string {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }
  const end = Object.hasOwn(vocab, endOfText) ? [{ id: vocab[endOfText], content: endOfText, ...flags }] : []
  return JSON.stringify({
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: end,
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: { ...byteLevel, trim_offsets: false },
    decoder: byteLevel,
    model: { type: 'BPE', dropout: null, unk_token: null, fuse_unk: false, vocab, merges: mergeList(merges) },
  })
}

function mergeList(text: string): string[] {
  const lines = text.split(/\r?\n/).filter((line) => line !== '')
  return lines[0]?.startsWith('#version') ? lines.slice(1) : lines
}
