/** `dylora dataset`: official files of a data set, from their public home or a directory, as JSON lines to train and evaluate on. */
import { join, resolve } from 'node:path'
import type { DatasetName } from '../evaluation/datasets/catalogue.ts'
import { type Converted, convertDataset, licenceNote, variantsOf } from '../evaluation/datasets/convert.ts'
import { fetchOfficial } from '../evaluation/datasets/fetch-official.ts'
import { type DatasetOptions, datasetHelp, parseDatasetOptions } from './dataset-options.ts'

export async function run(args: string[]): Promise<number> {
  const options = parseDatasetOptions(args)
  if (options === null) {
    console.log(datasetHelp())
    return 0
  }
  console.error(licenceNote(options.name))
  const from = options.from ?? (await downloaded(options))
  report(options, await convertDataset(options.name, { ...options, from }))
  return 0
}

/** The directory with the official files, once all are there. */
async function downloaded({ name, out, variant }: DatasetOptions): Promise<string> {
  const directory = `${resolve(out)}.official`
  await fetchOfficial(variantsOf(name, variant)[0].downloads, directory, console.error)
  return directory
}

function report({ name, out }: { readonly name: DatasetName; readonly out: string }, { files, missing }: Converted) {
  for (const [file, lines] of Object.entries(files)) console.log(`${join(out, file)}  ${lines} lines`)
  for (const split of missing) console.error(`${name}: no official file of the ${split} split was found`)
}
