/** Which files of a repository are needed, by what is made of them. Only safetensors and ONNX are read of weights, never a pickle. */

/** Picks among the paths of a repository; throws a plain reason when what is needed is not there. */
export type FileChoice = (paths: readonly string[]) => readonly string[]

export class MissingFilesError extends Error {}

const besideWeights = [
  ...['config.json', 'generation_config.json', 'tokenizer.json', 'tokenizer_config.json', 'vocab.json', 'merges.txt'],
  'chat_template.jinja',
]

/** A base model: its weights as safetensors, else as an ONNX export. */
export const baseFiles: FileChoice = (paths) => {
  const safetensors = paths.filter((path) => /^[\w.-]+\.safetensors(\.index\.json)?$/.test(path))
  const onnx = paths.filter((path) => /^model\.onnx([._]data)?$/.test(path))
  const weights = safetensors.some((path) => path.endsWith('.safetensors')) ? safetensors : onnx
  if (weights.length === 0) throw new MissingFilesError('expected *.safetensors or model.onnx at its top')
  return [...paths.filter((path) => besideWeights.includes(path)), ...weights]
}

/** An adapter: a PEFT LoRA, or one of this project's. */
export const adapterFilesOf: FileChoice = (paths) => {
  const needed = ['adapter_config.json', 'adapter_model.safetensors']
  const missing = needed.filter((path) => !paths.includes(path))
  if (missing.length > 0) throw new MissingFilesError(`expected ${needed.join(' and ')} at its top`)
  return [...needed, ...paths.filter((path) => path === 'dylora.json')]
}
