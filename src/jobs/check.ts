/** Everything about a job that can be known before it waits: whoever asks for it learns of a mistake at once. */
import { type BaseModel, readBaseModel } from '../dylora/base-model.ts'
import { exists } from '../dylora/publish.ts'
import type { Tokenizer } from '../dylora/tokenizer.ts'
import { type DyloraError, errors } from '../errors.ts'
import { encodeExample, readExamples } from '../training/data.ts'
import { misfits } from '../training/fit.ts'
import { movesTooMany, recipes, TrainingSettings } from '../training/settings.ts'
import { type Bases, baseNames, findBase } from './bases.ts'
import { type JobSpec, settingName } from './job.ts'
import type { JobPlaces } from './places.ts'

export interface Checked {
  readonly base: BaseModel
  readonly settings: TrainingSettings
}

interface Mistake {
  readonly detail: string
  readonly pointer: string
}

function refusal(mistakes: readonly Mistake[]): DyloraError {
  const sentences = mistakes.map(({ detail, pointer }) => `${pointer}: ${detail}`)
  return errors.validation(sentences.join('; '), { errors: mistakes })
}

/** The job against its base model. @throws validation with every mistake and where it is */
export async function checkSpec(spec: JobSpec, bases: Bases): Promise<Checked> {
  const names = await baseNames(bases.basesDirectory)
  const directory = await findBase(spec.base, bases)
  if (directory === null) {
    const got = spec.base === undefined ? 'none' : `'${spec.base}'`
    throw refusal([{ detail: `expected one of ${names.join(', ')}, got ${got}`, pointer: '#/base' }])
  }
  const base = await readBaseModel(directory)
  const settings = TrainingSettings.parse({ ...recipes[spec.recipe ?? 'stratified'], ...camelCase(spec.settings) })
  const mistakes = [
    ...(names.includes(spec.adapter)
      ? [{ detail: `expected another name than that of the base model '${spec.adapter}'`, pointer: '#/adapter' }]
      : []),
    ...(movesTooMany(settings)
      ? [
          {
            detail: 'frozen moves one row a step: expected rank_per batch, as in recipe paper',
            pointer: '#/settings/update',
          },
        ]
      : []),
    ...(base.eosTokenIds.length === 0
      ? [{ detail: `base model '${base.name}' has no eos_token_id, which ends a completion`, pointer: '#/base' }]
      : []),
    ...misfits(settings, base).map(({ setting, message }) => ({
      detail: message,
      pointer: `#/settings/${settingName(setting)}`,
    })),
  ]
  if (mistakes.length > 0) throw refusal(mistakes)
  return { base, settings }
}

const camelCase = (settings: JobSpec['settings']): Record<string, unknown> =>
  Object.fromEntries(Object.entries(settings).map(([name, value]) => [name.replace(/_(.)/g, camel), value]))

const camel = (_: string, letter: string): string => letter.toUpperCase()

/** The files of the job, line by line. @throws dataset_invalid, and validation where the gate has nothing to go by */
export async function checkData(
  { gate }: JobSpec,
  { train, validation }: JobPlaces,
  checked: Checked,
  tokenizer: Tokenizer,
): Promise<void> {
  await checkFile(train, checked, tokenizer)
  if (await exists(validation)) {
    await checkFile(validation, checked, tokenizer)
    await checkReferences(validation)
  } else if (gate.not_worse || gate.min_quality !== undefined)
    throw refusal([{ detail: 'expected validation data to measure by, got none', pointer: '#/gate' }])
}

/** Every line is read; one of them at least must fit the model. */
async function checkFile(file: string, { base, settings }: Checked, tokenizer: Tokenizer): Promise<void> {
  const [eosTokenId = 0] = base.eosTokenIds
  const maxLength = settings.maxLength ?? base.config.positions
  const encoding = { tokenizer, eosTokenId, prompt: { prefix: [], suffix: [eosTokenId] }, maxLength }
  let [examples, fits] = [0, false]
  for await (const example of readExamples(file)) {
    examples++
    fits ||=
      example.context.length + example.completion.length > maxLength * longestToken ||
      encodeExample(example, encoding).ids.length <= maxLength
  }
  if (examples === 0) throw errors.datasetInvalid(file, 'expected at least one example, got none')
  if (!fits)
    throw errors.datasetInvalid(
      file,
      `expected at least one example of up to ${maxLength} tokens, got ${examples} in all`,
    )
}

/** Characters; what might fit only if all its tokens were as long as this is not tokenized here, for that takes long. */
const longestToken = 128

/** What every rank's texts are compared with. */
async function checkReferences(file: string): Promise<void> {
  const bare = new Map<string, boolean>()
  for await (const { context, completion } of readExamples(file)) {
    if (context === '') throw errors.datasetInvalid(file, 'expected a context in every example, got an empty one')
    bare.set(context, (bare.get(context) ?? true) && completion.trim() === '')
  }
  const [context] = [...bare].find(([, isBare]) => isBare) ?? []
  if (context !== undefined)
    throw errors.datasetInvalid(file, `expected a reference of context '${context.slice(0, 100)}', got blank ones only`)
}
