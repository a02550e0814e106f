/** The chat template of a base model: Jinja, as Hugging Face tokenizers carry it, from messages to one prompt. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Template } from '@huggingface/jinja'
import { z } from 'zod'
import { errors } from '../errors.ts'
import { readJsonFile, rethrowing } from './json-file.ts'
import { exists } from './publish.ts'

/** The files of a base directory, or of a checkpoint, that a chat needs. */
export const chatFiles = { template: 'chat_template.jinja', tokenizer: 'tokenizer_config.json' } as const

export interface ChatMessage {
  readonly role: string
  readonly content: string
  readonly name?: string | undefined
}

export interface ChatTemplate {
  /** `variables` are further names that the template may read. Throws `validation` where the template refuses. */
  render(messages: readonly ChatMessage[], variables: Readonly<Record<string, unknown>>): string
}

const token = z.union([z.string(), z.looseObject({ content: z.string() })]).nullish()
const TokenizerConfig = z.looseObject({
  chat_template: z.union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))]).nullish(),
  bos_token: token,
  eos_token: token,
  pad_token: token,
  unk_token: token,
})
type TokenizerConfig = z.infer<typeof TokenizerConfig>

/**
 * The template in `file`; else `chat_template.jinja` of the directory; else the one in its `tokenizer_config.json`; null
 * where there is none. Throws `base_model_invalid` for one that cannot be read.
 */
export async function readChatTemplate(directory: string, file?: string): Promise<ChatTemplate | null> {
  const fail = (reason: string) => errors.baseModelInvalid(directory, `chat template: ${reason}`)
  const configPath = join(directory, chatFiles.tokenizer)
  const config = (await exists(configPath)) ? await readJsonFile(configPath, TokenizerConfig, fail) : {}
  const inDirectory = join(directory, chatFiles.template)
  const path = file ?? ((await exists(inDirectory)) ? inDirectory : null)
  const text = path === null ? templateIn(config) : await rethrowing(fail, () => readFile(path, 'utf8'))
  return text === null ? null : parseChatTemplate(text, specialTokens(config), fail)
}

/** `constants` are what every chat reads, such as `bos_token`; `fail` makes the error out of the reason. */
export function parseChatTemplate(
  text: string,
  constants: Readonly<Record<string, string>>,
  fail: (reason: string) => Error,
): ChatTemplate {
  const template = parse(text, fail)
  return {
    render(messages, variables) {
      try {
        return template.render({ ...variables, ...constants, messages: messages.map((message) => ({ ...message })) })
      } catch (error) {
        throw errors.validation(`The chat template refuses these messages: ${reasonOf(error)}`, {
          pointer: '/messages',
        })
      }
    },
  }
}

function parse(text: string, fail: (reason: string) => Error): Template {
  try {
    return new Template(text)
  } catch (error) {
    throw fail(reasonOf(error))
  }
}

/** Of several, the one named `default`. */
function templateIn({ chat_template: given }: TokenizerConfig): string | null {
  if (!Array.isArray(given)) return given ?? null
  return (given.find(({ name }) => name === 'default') ?? given[0])?.template ?? null
}

function specialTokens(config: TokenizerConfig): Record<string, string> {
  const names = ['bos_token', 'eos_token', 'pad_token', 'unk_token'] as const
  return Object.fromEntries(
    names.flatMap((name) => {
      const given = config[name]
      return given ? [[name, typeof given === 'string' ? given : given.content]] : []
    }),
  )
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
