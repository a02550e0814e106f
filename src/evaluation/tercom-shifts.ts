/** The greedy shift search of tercom 0.7.25 (Snover et al. 2006), with its order of candidates and its way with ties. */
import { BeamAligner, step } from './beam-alignment.ts'

const maxShiftSize = 10
const maxShiftDistance = 50

/** A phrase of the output, words `start` to `end`, goes behind word `target`; -1 is the front. */
interface Shift {
  readonly start: number
  readonly end: number
  readonly target: number
}

/** What an alignment says of both sides' words. */
interface Errors {
  /** Whether an output word is an error. */
  readonly inOutput: Uint8Array
  /** Whether a reference word is an error. */
  readonly inReference: Uint8Array
  /** The output word that stands at, or last before, a reference word; -1 where none does. */
  readonly position: Int32Array
}

/** Edits that turn the output into the reference: insertions, deletions, substitutions and shifts. */
export function tercomEdits(output: Int32Array, reference: Int32Array): number {
  const aligner = new BeamAligner(reference)
  let words = output
  let edits = aligner.edits(words)
  let shifts = 0
  for (;;) {
    const errors = readErrors(aligner.path(words), words.length, reference.length)
    const better = bestShift(words, edits, candidates(words, reference, errors), aligner)
    if (better === undefined) return edits + shifts
    words = better
    edits = aligner.edits(words)
    shifts += 1
  }
}

function readErrors(path: Uint8Array, outputLength: number, referenceLength: number): Errors {
  const inOutput = new Uint8Array(outputLength)
  const inReference = new Uint8Array(referenceLength)
  const position = new Int32Array(referenceLength)
  let i = -1
  let j = -1
  for (const taken of path) {
    const wrong = taken === step.match ? 0 : 1
    if (taken !== step.deletion) inOutput[++j] = wrong
    if (taken === step.insertion) continue
    inReference[++i] = wrong
    position[i] = j
  }
  return { inOutput, inReference, position }
}

/**
 * The output after the shift that saves most, undefined where none saves as much as it costs. Long phrases go first;
 * a shift that saves just its cost is taken if there is no better. A search that cannot improve any more is left early.
 */
function bestShift(
  words: Int32Array,
  edits: number,
  shiftsOfLength: readonly (readonly Shift[])[],
  aligner: BeamAligner,
): Int32Array | undefined {
  let best: Int32Array | undefined
  let bestTotal = edits
  for (let length = shiftsOfLength.length; length >= 1; length--) {
    const mostSaved = 2 * length
    const settled = () => edits - bestTotal > mostSaved || (best !== undefined && edits - bestTotal === mostSaved)
    if (settled()) break
    for (const shift of shiftsOfLength[length - 1] as readonly Shift[]) {
      if (settled()) break
      const shifted = applyShift(words, shift)
      const total = aligner.edits(shifted) + 1
      if (total < bestTotal || (best === undefined && total === bestTotal)) {
        best = shifted
        bestTotal = total
      }
    }
  }
  return best
}

/** Shifts worth a try, by length of the phrase less one. */
function candidates(words: Int32Array, reference: Int32Array, errors: Errors): Shift[][] {
  const found: Shift[][] = Array.from({ length: maxShiftSize }, () => [])
  const places = new Map<number, number[]>()
  for (const [place, word] of reference.entries()) {
    const known = places.get(word)
    if (known === undefined) places.set(word, [place])
    else known.push(place)
  }
  for (const [start, word] of words.entries()) {
    let matches = places.get(word) ?? []
    const reachable = matches.some((place) => mayMove(errors.position[place] as number, start))
    for (let end = start; reachable && end < Math.min(words.length, start + maxShiftSize); end++) {
      matches = matches.filter((place) => reference[place + end - start] === words[end])
      if (matches.length === 0 || !addShifts(found, start, end, matches, errors)) break
    }
  }
  return found
}

function mayMove(position: number, start: number): boolean {
  return position !== start && position - start <= maxShiftDistance && start - position - 1 <= maxShiftDistance
}

/** Adds the shifts of one phrase; false where a longer phrase from here need not be looked at. */
function addShifts(found: Shift[][], start: number, end: number, matches: readonly number[], errors: Errors): boolean {
  if (!errors.inOutput.subarray(start, end + 1).includes(1)) return true
  let anyInReach = false
  for (const place of matches) {
    const position = errors.position[place] as number
    const inside = position >= start && position <= end
    if (inside || Math.abs(position - start) > maxShiftDistance) continue
    anyInReach = true
    if (!errors.inReference.subarray(place, place + end - start + 1).includes(1)) continue
    for (const target of targets(place, start, end, errors.position)) {
      ;(found[end - start] as Shift[]).push({ start, end, target })
    }
  }
  return anyInReach
}

/** Behind the word that precedes the matching phrase of the reference, or behind one of the phrase's own words. */
function* targets(place: number, start: number, end: number, positions: Int32Array): Generator<number> {
  for (let offset = -1; offset <= end - start; offset++) {
    if (place + offset < 0) {
      yield -1
      continue
    }
    const target = positions[place + offset] as number
    if (target !== start && (offset === 0 || target !== positions[place])) yield target
  }
}

/** A target within the phrase moves it on by as many words. */
function applyShift(words: Int32Array, { start, end, target }: Shift): Int32Array {
  const phrase = words.subarray(start, end + 1)
  const length = phrase.length
  const before = target < start ? target + 1 : start
  const behind = target < start ? target + 1 : Math.min(words.length, target > end ? target + 1 : target + length)
  const shifted = words.slice()
  if (target < start) {
    shifted.set(phrase, before)
    shifted.set(words.subarray(before, start), before + length)
  } else {
    shifted.set(words.subarray(end + 1, behind), start)
    shifted.set(phrase, start + behind - end - 1)
  }
  return shifted
}
