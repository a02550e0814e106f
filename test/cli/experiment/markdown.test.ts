/** The little of Markdown that a report needs. */
import t from 'tap'
import { counted, listed, markdownTable, plusMinus, rankList, signed } from '../../../src/cli/experiment/markdown.ts'

t.test('columns of a table line up, empty cells too', async (t) => {
  t.equal(
    markdownTable(
      ['a', 'long head'],
      [
        ['1 ± 2', ''],
        ['3', ''],
      ],
    ),
    ['| a     | long head |', '| ----- | --------- |', '| 1 ± 2 |           |', '| 3     |           |'].join('\n'),
  )
})

t.test('numbers and lists as a sentence has them', async (t) => {
  t.same([plusMinus(1.234, 0.5, 2), plusMinus(1.234, null, 1)], ['1.23 ± 0.50', '1.2'])
  t.same([signed(1.25, 1), signed(-1.25, 1), signed(0.001, 2), signed(-0.001, 2)], ['+1.3', '-1.3', '0.00', '0.00'])
  t.same([listed([]), listed(['a']), listed(['a', 'b', 'c'])], ['', 'a', 'a, b and c'])
  t.same([counted(1, 'seed'), counted(2, 'seed'), counted(0, 'seed')], ['1 seed', '2 seeds', '0 seeds'])
  t.same(
    [rankList([1, 2, 3]), rankList([1, 2]), rankList([1, 2, 4]), rankList([5])],
    ['1 to 3', '1 and 2', '1, 2 and 4', '5'],
  )
})
