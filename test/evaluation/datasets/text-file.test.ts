/** Text files as others write them. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { linesOf, readTextFile } from '../../../src/evaluation/datasets/text-file.ts'

t.test('a byte order mark, gzip and line ends of any kind are no part of the text', async (t) => {
  const directory = t.testdir({ plain: 'Café\nb\n', mark: '\uFEFFCafé\r\nb', 'zip.gz': gzipSync('\uFEFFCafé\nb\n') })
  // Gzip is told by what is in the file, whatever it is called.
  await writeFile(join(directory, 'renamed.txt'), gzipSync('Café\rb\r'))
  for (const name of ['plain', 'mark', 'zip.gz', 'renamed.txt']) {
    t.same(linesOf((await readTextFile(join(directory, name))).text), ['Café', 'b'], name)
  }
})

t.test('an empty line is a line, at the end too, but the end of the last line begins none', (t) => {
  t.same(linesOf('a\n\nb\n'), ['a', '', 'b'])
  t.same(linesOf('a\n\n'), ['a', ''])
  t.same(linesOf('\n'), [''])
  t.same(linesOf(''), [])
  t.same(linesOf('tab\there\r\n\u2028 \u0085 stay\n'), ['tab\there', '\u2028 \u0085 stay'])
  t.end()
})

t.test('another encoding is refused by its name, and a byte that is not UTF-8 by its place', async (t) => {
  const utf16 = Buffer.from('name,ref\nBlue Spice,A pub.\n', 'utf16le')
  const cases: readonly (readonly [Buffer, RegExp])[] = [
    [Buffer.concat([Buffer.of(0xff, 0xfe), utf16]), /expected text in UTF-8, got UTF-16 \(little-endian\)$/],
    [Buffer.concat([Buffer.of(0xfe, 0xff), Buffer.from(utf16).swap16()]), /got UTF-16 \(big-endian\)$/],
    [utf16, /got UTF-16 \(little-endian, without a byte order mark\)$/],
    [Buffer.from(utf16).swap16(), /got UTF-16 \(big-endian, without/],
    [Buffer.of(0xff, 0xfe, 0, 0, 0x41, 0, 0, 0), /got UTF-32/],
    [Buffer.from('A pub.\nCaf\xe9\nb\n', 'latin1'), /line 2: expected text in UTF-8, got the byte 0xe9 at offset 10$/],
    [Buffer.concat([Buffer.from('\uFFFD é\n'), Buffer.of(0xc3)]), /line 2: .*0xc3 at offset 7$/],
    [Buffer.concat([Buffer.from('é '), Buffer.of(0xc3, 0x28)]), /line 1: .*0xc3 at offset 3$/],
  ]
  const file = join(t.testdir({}), 'text')
  for (const [bytes, message] of cases) {
    await writeFile(file, bytes)
    await t.rejects(readTextFile(file), { code: 'dataset_invalid', message })
  }
})

t.test('what is not there, cut short or not gzipped is told', async (t) => {
  const whole = gzipSync('a line of text\n'.repeat(100))
  const directory = t.testdir({ 'cut.gz': whole.subarray(0, whole.length - 9), 'plain.gz': 'text' })
  await t.rejects(readTextFile(join(directory, 'none.txt')), { code: 'dataset_invalid', message: /ENOENT/ })
  await t.rejects(readTextFile(join(directory, 'cut.gz')), { message: /expected whole gzipped data: / })
  await t.rejects(readTextFile(join(directory, 'plain.gz')), { message: /expected gzipped data, as the name says/ })
})
