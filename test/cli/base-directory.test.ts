import { join } from 'node:path'
import t from 'tap'
import { baseDirectory } from '../../src/cli/base-directory.ts'

t.test('takes the directory that it is told', async (t) => {
  t.equal(await baseDirectory('/models/mine', '/no/such/directory'), '/models/mine')
})

t.test('takes the only one that is bundled', async (t) => {
  const bases = t.testdir({ tiny: { 'config.json': '{}' }, '.tiny.writing': {}, 'README.md': '' })
  t.equal(await baseDirectory(undefined, bases), join(bases, 'tiny'))
})

t.test('asks to choose when there are several, and says so when there is none', async (t) => {
  const several = t.testdir({ one: {}, two: {} })
  await t.rejects(baseDirectory(undefined, several), {
    code: 'configuration_invalid',
    message: /BASE_MODEL: .* one, two/,
  })
  await t.rejects(baseDirectory(undefined, join(several, 'nowhere')), { message: /BASE_MODEL: .*there is none/ })
})
