/** Which files `.dockerignore` keeps out of an image: the last pattern that matches decides, `!` takes back in. */

/** A pattern as an expression over paths; it also matches whatever is inside a directory that it names. */
function expressionOf(pattern: string): RegExp {
  const escaped = pattern.replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
  const body = escaped.replaceAll(/\*\*\/|\*/g, (stars) => (stars === '*' ? '[^/]*' : '(?:.*/)?'))
  return new RegExp(`^${body}(?:/.*)?$`)
}

/** `path` is relative to the build context, with slashes. */
export function isIgnored(path: string, dockerignore: string): boolean {
  const patterns = dockerignore.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'))
  const last = patterns.findLast((pattern) => expressionOf(pattern.replace(/^!/, '')).test(path))
  return last !== undefined && !last.startsWith('!')
}
