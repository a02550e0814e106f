/** The little template language of the generator: `[a|b|]` chooses, `{slot}` fills in, `a~` becomes "a" or "an". */
import type { Dice } from './dice.ts'

type Part =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'slot'; readonly name: string }
  | { readonly kind: 'choice'; readonly options: readonly (readonly Part[])[] }

const parsed = new Map<string, readonly Part[]>()

/** Draws one reading of the template. An unknown slot is a mistake in a template, hence a RangeError. */
export function expand(template: string, slots: Readonly<Record<string, string>>, dice: Dice): string {
  let parts = parsed.get(template)
  if (parts === undefined) {
    parts = new Reader(template).read()
    parsed.set(template, parts)
  }
  return render(parts, slots, dice)
}

function render(parts: readonly Part[], slots: Readonly<Record<string, string>>, dice: Dice): string {
  let text = ''
  for (const part of parts) {
    if (part.kind === 'text') text += part.text
    else if (part.kind === 'choice') text += render(dice.pick(part.options), slots, dice)
    else {
      const value = slots[part.name]
      if (value === undefined) throw new RangeError(`Expected a value for slot {${part.name}}, got none`)
      text += value
    }
  }
  return text
}

class Reader {
  readonly #source: string
  #at = 0

  constructor(source: string) {
    this.#source = source
  }

  read(): readonly Part[] {
    const parts = this.#sequence()
    if (this.#at < this.#source.length)
      throw new RangeError(`Unexpected '${this.#source[this.#at]}' in: ${this.#source}`)
    return parts
  }

  #sequence(): Part[] {
    const parts: Part[] = []
    while (this.#at < this.#source.length) {
      const c = this.#source[this.#at]
      if (c === '|' || c === ']') break
      if (c === '[') parts.push(this.#choice())
      else if (c === '{') parts.push({ kind: 'slot', name: this.#until('}') })
      else parts.push({ kind: 'text', text: this.#text() })
    }
    return parts
  }

  #choice(): Part {
    const options: Part[][] = []
    do {
      this.#at += 1
      options.push(this.#sequence())
    } while (this.#source[this.#at] === '|')
    if (this.#source[this.#at] !== ']') throw new RangeError(`Expected ']' in: ${this.#source}`)
    this.#at += 1
    return { kind: 'choice', options }
  }

  #until(end: string): string {
    const stop = this.#source.indexOf(end, this.#at)
    if (stop < 0) throw new RangeError(`Expected '${end}' in: ${this.#source}`)
    const text = this.#source.slice(this.#at + 1, stop)
    this.#at = stop + 1
    return text
  }

  #text(): string {
    const start = this.#at
    while (this.#at < this.#source.length && !'[]{|'.includes(this.#source[this.#at] as string)) this.#at += 1
    return this.#source.slice(start, this.#at)
  }
}

/** Tidies a drawn sentence: articles, doubled blanks and commas, a capital first letter, ` .` at the end. */
export function sentence(text: string): string {
  const tidy = text
    .replace(/\s+/g, ' ')
    .trim()
    .replace(/( ,)+( \.|$)/g, '')
    .replace(/(, )+,/g, ',')
    .replace(/\ba~ (?=["']?(?:[aeio]|u(?!ni|s)|8|11\b|18\b|hour|honest))/gi, 'an ')
    .replace(/\ba~ /g, 'a ')
  return `${tidy.charAt(0).toUpperCase()}${tidy.slice(1)}${/[.!?]$/.test(tidy) ? '' : ' .'}`
}
