/**
 * METEOR's alignment (Denkowski and Lavie 2014): each word matches at most one of the other text, by the beam search of
 * METEOR 1.5. Where that program departs from its description, this follows the program.
 */
import { englishStem } from './english-stem.ts'
import { synonymSets } from './synonyms.ts'

/** One word, with all that it can be compared by. */
export interface Lexeme {
  readonly word: string
  readonly stem: string
  readonly synonyms: ReadonlySet<number>
}

/** How two words match, in the order in which METEOR tries. */
export const stages = ['exact', 'stem', 'synonym'] as const

/** Words at these places match. */
export interface Match {
  readonly stage: number
  readonly hypothesis: number
  readonly reference: number
}

/** How many alignments are followed at each word. */
const beamSize = 40

export const lexeme = (word: string): Lexeme => ({ word, stem: englishStem(word), synonyms: synonymSets(word) })

/** The matches of the best alignment found, by place in the reference. */
export function align(hypothesis: readonly Lexeme[], reference: readonly Lexeme[]): readonly Match[] {
  const candidates = findMatches(hypothesis, reference)
  const uses = new Uint32Array(hypothesis.length)
  for (const match of candidates.flat()) uses[match.hypothesis]! += 1
  const certain = candidates.map(([match, ...others]) =>
    match !== undefined && others.length === 0 && uses[match.hypothesis] === 1 ? match : undefined,
  )
  let paths: readonly Path[] = [emptyPath]
  for (const [i, matches] of candidates.entries()) {
    const only = certain[i]
    const tried = best(paths)
    paths =
      only === undefined ? tried.flatMap((path) => branches(path, matches)) : tried.map((path) => taken(path, only))
  }
  const closed = best(paths).map((path) => (path.end < 0 ? path : { ...path, chunks: path.chunks + 1 }))
  return listed(best(closed)[0]?.last)
}

/** For each word of the reference the matches that it may have; of texts that are equal, only exact ones. */
function findMatches(hypothesis: readonly Lexeme[], reference: readonly Lexeme[]): Match[][] {
  const equal = hypothesis.length === reference.length && hypothesis.every(({ word }, i) => word === reference[i]?.word)
  const tests = equal ? [sameWord] : [sameWord, sameStem, synonymous]
  return reference.map((there, j) =>
    tests.flatMap((test, stage) =>
      hypothesis.flatMap((here, i) => (test(here, there) ? [{ stage, hypothesis: i, reference: j }] : [])),
    ),
  )
}

const sameWord = (a: Lexeme, b: Lexeme) => a.word === b.word
const sameStem = (a: Lexeme, b: Lexeme) => a.stem === b.stem && a.word !== b.word

function synonymous(a: Lexeme, b: Lexeme): boolean {
  if (a.word === b.word) return false
  for (const set of a.synonyms) if (b.synonyms.has(set)) return true
  return false
}

/** An alignment of the words of the reference so far. */
interface Path {
  /** Exact matches: METEOR sums weights of matches in whole numbers, so that others, of 0.5, count nothing. */
  readonly exact: number
  /** Runs of matches that are adjacent in both texts, the open one not counted. */
  readonly chunks: number
  /** The place after the last match in the hypothesis; -1 if the word before this has none. */
  readonly end: number
  readonly distance: number
  readonly last: Link | undefined
}

/** The matches of a path, from the last on. */
interface Link {
  readonly match: Match
  readonly before: Link | undefined
}

const emptyPath: Path = { exact: 0, chunks: 0, end: -1, distance: 0, last: undefined }

/** The paths that are followed, best first: most exact matches, then fewest chunks, then the least distance. */
function best(paths: readonly Path[]): readonly Path[] {
  if (paths.length === 1) return paths
  const sorted = paths.toSorted((a, b) => b.exact - a.exact || a.chunks - b.chunks || a.distance - b.distance)
  return sorted.length > beamSize ? sorted.slice(0, beamSize) : sorted
}

const distanceOf = (match: Match) => Math.abs(match.reference - match.hypothesis)

/** With a match that no other one excludes. */
const taken = (path: Path, match: Match): Path => extended(path, match, path.distance + distanceOf(match))

/**
 * With each possible match, and without any. METEOR adds a match's distance to the path that it left behind: to those
 * with a later match, and to the one without.
 */
function branches(path: Path, matches: readonly Match[]): Path[] {
  const found: Path[] = []
  let { distance } = path
  for (const match of matches) {
    if (isUsed(path, match.hypothesis)) continue
    found.push(extended(path, match, distance))
    distance += distanceOf(match)
  }
  const { exact, chunks, end, last } = path
  found.push({ exact, chunks: end < 0 ? chunks : chunks + 1, end: -1, distance, last })
  return found
}

function extended({ exact, chunks, end, last }: Path, match: Match, distance: number): Path {
  return {
    exact: exact + (match.stage === 0 ? 1 : 0),
    chunks: end < 0 || end === match.hypothesis ? chunks : chunks + 1,
    end: match.hypothesis + 1,
    distance,
    last: { match, before: last },
  }
}

function isUsed({ last }: Path, word: number): boolean {
  for (let link = last; link !== undefined; link = link.before) if (link.match.hypothesis === word) return true
  return false
}

function listed(last: Link | undefined): Match[] {
  const matches: Match[] = []
  for (let link = last; link !== undefined; link = link.before) matches.push(link.match)
  return matches.reverse()
}
