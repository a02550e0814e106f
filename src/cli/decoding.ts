/** How `evaluate` generates: what it is told, what it asks of the engine, and how the curve names it. */
import { type GenerateRequest, greedySampling } from '../inference/request.ts'

export interface Decoding {
  readonly maxNewTokens: number
  /** 1 is greedy. */
  readonly beams: number
  readonly lengthPenalty: number
  /** 0 bans nothing; n-grams are those of the output alone, as in the paper's decoding. */
  readonly noRepeatNgramSize: number
}

export const greedyDecoding: Decoding = { maxNewTokens: 100, beams: 1, lengthPenalty: 1, noRepeatNgramSize: 0 }

/** As HTTP calls them. */
const names: Readonly<Record<keyof Decoding, string>> = {
  beams: 'num_beams',
  lengthPenalty: 'length_penalty',
  noRepeatNgramSize: 'no_repeat_ngram_size',
  maxNewTokens: 'max_new_tokens',
}

/** What differs from greedy decoding, for instance `num_beams=10 length_penalty=0.8`; undefined where nothing does. */
export function decodingName(decoding: Decoding): string | undefined {
  const parts = (Object.keys(names) as (keyof Decoding)[])
    .filter((key) => decoding[key] !== greedyDecoding[key])
    .map((key) => `${names[key]}=${decoding[key]}`)
  return parts.length === 0 ? undefined : parts.join(' ')
}

/** Is it what a request gets that asks for nothing else? Only such texts tell `auto` what a rank is worth. */
export const isGreedy = ({ beams, noRepeatNgramSize }: Decoding): boolean => beams === 1 && noRepeatNgramSize === 0

export function decodingRequest({
  maxNewTokens,
  beams,
  lengthPenalty,
  noRepeatNgramSize,
}: Decoding): Pick<GenerateRequest, 'maxNewTokens' | 'sampling' | 'beamSearch' | 'stop'> {
  const search = { beamSearch: { beams, lengthPenalty, earlyStopping: false } } as const
  return {
    ...{ maxNewTokens, stop: [] },
    sampling: { ...greedySampling, noRepeatNgramSize, noRepeatNgramScope: 'output' },
    ...(beams > 1 && search),
  }
}
