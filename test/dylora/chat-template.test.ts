import { cp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { readChatTemplate } from '../../src/dylora/chat-template.ts'
import { importCheckpoint } from '../../src/dylora/import.ts'
import { fixturePath } from '../fixtures/golden.ts'

const messages = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: 'Hello' },
]

/** ChatML, as many bases have it. */
const chatMl =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

const base = (t: Test, files: Record<string, string>) => t.testdir(files)

t.test('reads the template of tokenizer_config.json, with the tokens that it names', async (t) => {
  const config = { chat_template: `{{ bos_token }}${chatMl}`, bos_token: { content: '<s>' } }
  const template = await readChatTemplate(base(t, { 'tokenizer_config.json': JSON.stringify(config) }))
  t.equal(
    template?.render(messages, { add_generation_prompt: true }),
    '<s><|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n',
  )
})

t.test('takes a file of its own first, then chat_template.jinja, then the default one of several', async (t) => {
  const several = {
    chat_template: [
      { name: 'rag', template: 'rag' },
      { name: 'default', template: 'default' },
    ],
  }
  const directory = base(t, { 'tokenizer_config.json': JSON.stringify(several) })
  const rendered = async (file?: string) => (await readChatTemplate(directory, file))?.render(messages, {})
  t.equal(await rendered(), 'default')
  await writeFile(join(directory, 'chat_template.jinja'), 'beside')
  t.equal(await rendered(), 'beside')
  await writeFile(join(directory, 'mine.jinja'), '{{ enable_thinking }}')
  t.equal(await rendered(join(directory, 'mine.jinja')), '')
  await t.rejects(rendered(join(directory, 'nowhere.jinja')), { code: 'base_model_invalid', message: /nowhere/ })
})

t.test('is null without one, and says where one is broken', async (t) => {
  t.equal(await readChatTemplate(base(t, {})), null)
  t.equal(await readChatTemplate(base(t, { 'tokenizer_config.json': '{}' })), null)
  const broken = base(t, { 'chat_template.jinja': '{% for %}' })
  await t.rejects(readChatTemplate(broken), { code: 'base_model_invalid', message: /chat template/ })
})

t.test('hands on what the template itself refuses; messages cannot replace its variables', async (t) => {
  const template = await readChatTemplate(
    base(t, {
      'chat_template.jinja':
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}{{ extra }}",
    }),
  )
  t.throws(() => template?.render(messages, {}), { code: 'validation', message: /no system turn/ })
  t.equal(template?.render(messages.slice(1), { extra: 'e', messages: [] }), 'e')
})

t.test('an import takes the template along', async (t) => {
  const source = t.testdir()
  await cp(fixturePath('gpt2'), join(source, 'checkpoint'), { recursive: true })
  await writeFile(join(source, 'checkpoint', 'chat_template.jinja'), chatMl)
  await importCheckpoint(join(source, 'checkpoint'), join(source, 'base'))
  t.match((await readChatTemplate(join(source, 'base')))?.render(messages, {}), /im_start/)
})
