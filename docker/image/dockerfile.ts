/** Reads a Dockerfile, as far as ours goes: stages of steps, with comments and line continuations taken out. */

export interface Step {
  readonly instruction: string
  /** `--from=build`, by name. */
  readonly flags: ReadonlyMap<string, string>
  /** The rest of the line, as written. */
  readonly text: string
  /** The words of a JSON array (the exec form); null where there is none. */
  readonly exec: readonly string[] | null
}

export interface Stage {
  readonly name: string
  /** The image, or an earlier stage, that it starts from; build arguments as written. */
  readonly from: string
  readonly steps: readonly Step[]
}

export interface Dockerfile {
  /** The defaults of build arguments before the first stage. */
  readonly args: ReadonlyMap<string, string>
  readonly stages: readonly Stage[]
}

// biome-ignore format: a list of words
const instructions = new Set([
  'ARG', 'CMD', 'COPY', 'ENTRYPOINT', 'ENV', 'EXPOSE', 'FROM', 'HEALTHCHECK', 'RUN', 'STOPSIGNAL', 'USER', 'WORKDIR',
])

/** Throws where a line is none of the instructions that our file uses. */
export function parseDockerfile(text: string): Dockerfile {
  const steps = logicalLines(text).map(parseStep)
  const first = steps.findIndex(({ instruction }) => instruction === 'FROM')
  const args = new Map(steps.slice(0, first).map(({ text }) => splitOnce(text, '=')))
  const stages: { name: string; from: string; steps: Step[] }[] = []
  for (const step of steps.slice(first)) {
    if (step.instruction === 'FROM') {
      const [from = '', , name = ''] = step.text.split(/\s+/)
      stages.push({ name, from, steps: [] })
    } else stages.at(-1)?.steps.push(step)
  }
  return { args, stages }
}

/** With what `${NAME}` and `$NAME` stand for, as far as that is known. */
export const expand = (text: string, values: ReadonlyMap<string, string>): string =>
  text.replaceAll(/\$\{(\w+)\}|\$(\w+)/g, (whole, braced, bare) => values.get(braced ?? bare) ?? whole)

export function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + separator.length)]
}

function logicalLines(text: string): string[] {
  const lines = text.split('\n').filter((line) => !line.trimStart().startsWith('#'))
  return lines
    .join('\n')
    .replaceAll(/\\\n/g, '')
    .split('\n')
    .filter((line) => line.trim() !== '')
}

function parseStep(line: string): Step {
  const [, instruction = '', rest = ''] = /^(\S+)\s+(.*)$/.exec(line) ?? []
  if (!instructions.has(instruction)) throw new RangeError(`expected an instruction of a Dockerfile, got '${line}'`)
  const flags = new Map<string, string>()
  let text = rest.trim()
  for (let flag = /^--(\S+)\s+/.exec(text); flag !== null; flag = /^--(\S+)\s+/.exec(text)) {
    flags.set(...splitOnce(flag[1] ?? '', '='))
    text = text.slice(flag[0].length)
  }
  const json = /^(?:CMD\s+)?(\[.*\])$/.exec(text)?.[1]
  return { instruction, flags, text, exec: json === undefined ? null : (JSON.parse(json) as string[]) }
}
