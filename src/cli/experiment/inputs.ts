/** What an experiment works on: the base and the three files, with the digests that say whether earlier work still counts. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { type BaseModel, readBaseModel } from '../../dylora/base-model.ts'
import { readTokenizer, type Tokenizer } from '../../dylora/tokenizer.ts'
import { errors } from '../../errors.ts'
import { type ReferenceGroup, readReferences } from '../../evaluation/references.ts'
import { type Dataset, readDataset } from '../../training/data.ts'
import type { ExperimentOptions } from './options.ts'

interface InputFile {
  readonly file: string
  readonly digest: string
  /** Examples, or test inputs. */
  readonly count: number
}

export interface Inputs {
  readonly base: BaseModel
  readonly train: Dataset
  readonly groups: readonly ReferenceGroup[]
  readonly files: { readonly train: InputFile; readonly validation: InputFile; readonly test: InputFile }
}

/** Reads everything once, so that a mistake in a file shows before hours of training. */
export async function readInputs(options: ExperimentOptions): Promise<Inputs> {
  const base = await readBaseModel(options.base)
  const tokenizer = await readTokenizer(options.base)
  const train = await readExamples(options.data, base, tokenizer)
  const validation = await readExamples(options.validation, base, tokenizer)
  const groups = (await readReferences(options.test)).slice(0, options.limit)
  return {
    base,
    train,
    groups,
    files: {
      train: fileOf(train, train.sequences.length),
      validation: fileOf(validation, Math.min(options.lossExamples, validation.sequences.length)),
      test: fileOf({ file: options.test, digest: await digestOf(options.test) }, groups.length),
    },
  }
}

function readExamples(file: string, base: BaseModel, tokenizer: Tokenizer): Promise<Dataset> {
  const [eosTokenId] = base.eosTokenIds
  if (eosTokenId === undefined)
    throw errors.baseModelInvalid(base.directory, 'it has no eos_token_id, which ends a completion')
  const prompt = { prefix: [], suffix: [eosTokenId] }
  return readDataset(file, { tokenizer, eosTokenId, prompt, maxLength: base.config.positions })
}

const fileOf = ({ file, digest }: { file: string; digest: string }, count: number): InputFile => ({
  file: basename(file),
  digest,
  count,
})

const digestOf = async (file: string): Promise<string> =>
  `sha256:${createHash('sha256')
    .update(await readFile(file))
    .digest('hex')}`
