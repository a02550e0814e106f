/** Says a set of attributes in one to three sentences: which attribute goes where is drawn, the words come from the domain. */
import type { Dice } from './dice.ts'
import { expand, sentence } from './phrase.ts'

/** Ways to say one attribute, as templates over `{v}` (the value), `{name}` and `{head}`. */
export interface Phrases {
  /** Before the head noun: "a ~cheap~ pub". */
  readonly pre?: string
  /** After the head noun: "a pub ~near X~". */
  readonly post?: string
  /** A verb phrase, third person singular: "X ~serves Y~". */
  readonly verb?: string
  /** A sentence of its own, without the full stop. */
  readonly own?: string
  /** In front of a sentence: "~Near X ,~ ...". */
  readonly front?: string
}
type Position = keyof Phrases

export interface Attribute {
  readonly key: string
  readonly value: (dice: Dice) => string
  /** How likely the attribute is drawn, against the others (default 1). */
  readonly weight?: number
  readonly phrases: Phrases | ((value: string) => Phrases)
}

export interface Domain {
  readonly name: string
  readonly nameKey: string
  readonly title: (dice: Dice) => string
  /** The attribute whose value is the head noun ("pub", "novel"), and what to call the thing without it. */
  readonly head: { readonly key: string; readonly value: (dice: Dice) => string }
  /** How often the context has the head noun. */
  readonly headShare: number
  readonly fallbackHead: string
  readonly pronouns: readonly string[]
  readonly attributes: readonly Attribute[]
}

/** An attribute with its drawn value. */
export interface Fact {
  readonly key: string
  readonly value: string
  readonly phrases: Phrases
}

export interface Subject {
  readonly name: string
  /** The drawn head noun, or null where the context does not give one. */
  readonly head: string | null
  readonly facts: readonly Fact[]
}

/** What was said: the text, and for every key the words that say it. */
export interface Saying {
  readonly text: string
  readonly said: ReadonlyMap<string, string>
}

interface Frame {
  readonly text: string
  readonly weight: number
  /** How many facts each position holds at most. */
  readonly room: Partial<Record<Position, number>>
  /** Positions that must be filled, once for each mention: the frame makes no sentence without. */
  readonly needs?: readonly Position[]
}

/** First sentences that say the head noun. `{theName}` has an article for certain. */
const openings: readonly Frame[] = [
  { weight: 9, text: '{front} {name} is a~ {pre} {head} {post}', room: { front: 1, pre: 3, post: 4 } },
  {
    weight: 5,
    text: '{name} is a~ {pre} {head} {post} [that|which] {verb}',
    room: { pre: 2, post: 2, verb: 2 },
    needs: ['verb'],
  },
  {
    weight: 5,
    text: '{name} is a~ {pre} {head} {post} and {verb}',
    room: { pre: 2, post: 2, verb: 1 },
    needs: ['verb'],
  },
  { weight: 4, text: '{name} , a~ {pre} {head} {post} , {verb}', room: { pre: 2, post: 1, verb: 3 }, needs: ['verb'] },
  {
    weight: 4,
    text: '{front} [there is|you will find|you can find] a~ {pre} {head} [called|named] {name} {post}',
    room: { front: 1, pre: 2, post: 2 },
    needs: ['front'],
  },
  {
    weight: 2,
    text: '{front} [there is|you will find|you can find] a~ {pre} {head} {post} [called|named] {name}',
    room: { front: 1, pre: 3, post: 1 },
    needs: ['front'],
  },
  {
    weight: 3,
    text: '{where} is [{name} , a~ {pre} {head} {post}|a~ {pre} {head} called {name} {post}]',
    room: { front: 1, pre: 2, post: 3 },
    needs: ['front'],
  },
  {
    weight: 3,
    text: 'there is a~ {pre} {head} [called|named|by the name of] {name} {post}',
    room: { pre: 3, post: 3 },
  },
  { weight: 2, text: 'a~ {pre} {head} {post} is {name}', room: { pre: 3, post: 3 }, needs: ['pre'] },
  { weight: 2, text: '{name} , {post} , is a~ {pre} {head}', room: { pre: 3, post: 1 }, needs: ['post'] },
  { weight: 3, text: '{front} the {head} {name} {verb}', room: { front: 1, verb: 3 }, needs: ['verb'] },
  { weight: 3, text: '{front} the {pre} {head} {name} {verb}', room: { front: 1, pre: 2, verb: 3 }, needs: ['verb'] },
  { weight: 2, text: '{theName} {head} {verb}', room: { verb: 3 }, needs: ['verb'] },
  { weight: 1, text: '{name} is the name of a~ {pre} {head} {post}', room: { pre: 2, post: 2 } },
]
/** First sentences for a context without a head noun. */
const headless: readonly Frame[] = [
  { weight: 10, text: '{front} {name} {verb}', room: { front: 1, verb: 3 }, needs: ['verb'] },
  { weight: 3, text: '{name} {verb} , and {own}', room: { verb: 2, own: 1 }, needs: ['verb', 'own'] },
]
/** Later sentences; `{it}` is a pronoun, the name or the head noun. */
const continuations: readonly Frame[] = [
  { weight: 9, text: '{it} {verb}', room: { verb: 3 }, needs: ['verb'] },
  { weight: 4, text: '{front} {it} {verb}', room: { front: 1, verb: 2 }, needs: ['front', 'verb'] },
  { weight: 5, text: '{own}', room: { own: 1 }, needs: ['own'] },
  { weight: 5, text: '{own} [and|, and|and] {own2}', room: { own: 2 }, needs: ['own', 'own'] },
  { weight: 3, text: '{it} {verb} [,|] and {own}', room: { verb: 2, own: 1 }, needs: ['verb', 'own'] },
  { weight: 3, text: '{it} is a~ {pre} {head} {post}', room: { pre: 2, post: 2 }, needs: ['pre'] },
]

export function say(domain: Domain, subject: Subject, dice: Dice): Saying {
  const said = new Map<string, string>([[domain.nameKey, subject.name]])
  if (subject.head !== null) said.set(domain.head.key, subject.head)
  let left = dice.shuffle(subject.facts)
  const sentences: string[] = []
  let room = firstRoom(left.length, dice)
  while (left.length > 0 || sentences.length === 0) {
    const spoken = speak(domain, subject, left.slice(0, room), sentences.length === 0, dice)
    sentences.push(sentence(spoken.text))
    for (const [key, words] of spoken.said) said.set(key, words)
    left = left.filter((fact) => !spoken.said.has(fact.key))
    room = dice.integer(1, 3)
  }
  return { text: sentences.join(' '), said }
}

/** How many facts the first sentence may hold: more of them when there are more to say. */
function firstRoom(facts: number, dice: Dice): number {
  if (facts <= 3 && dice.chance(0.7)) return facts
  return dice.integer(1, Math.min(facts, dice.chance(0.4) ? 6 : 4))
}

function speak(domain: Domain, subject: Subject, facts: readonly Fact[], first: boolean, dice: Dice): Saying {
  const head = subject.head ?? expand(domain.fallbackHead, {}, dice)
  const theName = subject.name.startsWith('The ') ? subject.name : `the ${subject.name}`
  const words = { name: subject.name, theName, head }
  const frames = first ? (subject.head === null ? [...openings, ...headless] : openings) : continuations
  const fitting = frames.filter(({ needs }) => needs === undefined || assign(needs, facts) !== undefined)
  const frame = dice.weighted(
    (fitting.length > 0 ? fitting : openings).map((candidate) => [candidate.weight, candidate]),
  )
  const { parts, said } = place(frame, facts, words, dice)
  const it = dice.weighted([
    [6, dice.pick(domain.pronouns)],
    [2, `the ${head}`],
    [1, `this ${head}`],
    [1, subject.name],
  ])
  return { text: expand(frame.text, { ...words, ...parts, it }, dice), said }
}

/** A different fact for each needed position, or undefined: greedy, which misses few and never errs. */
function assign(needs: readonly Position[], facts: readonly Fact[]): readonly Fact[] | undefined {
  const taken: Fact[] = []
  for (const position of needs) {
    const fact = facts.find((candidate) => candidate.phrases[position] !== undefined && !taken.includes(candidate))
    if (fact === undefined) return undefined
    taken.push(fact)
  }
  return taken
}

/** Gives every fact a free position of the frame that it has words for; what finds none waits for the next sentence. */
function place(frame: Frame, facts: readonly Fact[], words: Readonly<Record<string, string>>, dice: Dice) {
  const filled: Record<Position, string[]> = { pre: [], post: [], verb: [], own: [], front: [] }
  const said = new Map<string, string>()
  const put = (fact: Fact, position: Position) => {
    const text = expand(fact.phrases[position] as string, { ...words, v: fact.value }, dice).trim()
    filled[position].push(text)
    said.set(fact.key, text)
  }
  const fits = (fact: Fact, position: Position) =>
    fact.phrases[position] !== undefined && filled[position].length < (frame.room[position] ?? 0)
  const { needs = [] } = frame
  for (const [i, fact] of (assign(needs, facts) ?? []).entries()) put(fact, needs[i] as Position)
  for (const fact of facts) {
    const free = said.has(fact.key) ? [] : positions.filter((position) => fits(fact, position))
    if (free.length > 0) put(fact, dice.pick(free))
  }
  return { parts: join(filled, dice), said }
}
const positions: readonly Position[] = ['pre', 'post', 'verb', 'own', 'front']

function join(filled: Readonly<Record<Position, readonly string[]>>, dice: Dice) {
  const [own = '', own2 = ''] = filled.own
  const where = filled.front[0] ?? ''
  const front = where === '' ? '' : `${where} ,`
  const pre = filled.pre.join(dice.chance(0.3) ? ' , ' : ' ')
  return { pre, post: chain(filled.post, dice), verb: conjoin(filled.verb, dice), own, own2, where, front }
}

function conjoin(phrases: readonly string[], dice: Dice): string {
  if (phrases.length < 2) return phrases.join('')
  const last = phrases[phrases.length - 1]
  return `${phrases.slice(0, -1).join(' , ')} ${dice.pick(['and', 'and', 'and', ', and', 'and also'])} ${last}`
}

function chain(phrases: readonly string[], dice: Dice): string {
  return phrases.join(dice.pick([' ', ' ', ' ', ' , ', ' and ']))
}
