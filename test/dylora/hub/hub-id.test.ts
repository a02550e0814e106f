import t from 'tap'
import { hubIdText, parseHubId } from '../../../src/dylora/hub/hub-id.ts'

t.test('an id is org/name, and a revision after @', async (t) => {
  t.same(parseHubId('openai-community/gpt2'), { repository: 'openai-community/gpt2', revision: 'main' })
  t.same(parseHubId('o/n@refs/pr/3'), { repository: 'o/n', revision: 'refs/pr/3' })
  t.equal(hubIdText({ repository: 'o/n', revision: 'v1' }), 'o/n@v1')
})

t.test('what could become a path out of the cache is no id', async (t) => {
  for (const text of ['gpt2', '../x', 'a/..', '/a/b', 'a/b/c', 'a/b@../c', 'a/b@x/../y', 'a/b@', 'a\\b/c', 's3://a/b'])
    t.equal(parseHubId(text), null, text)
})
