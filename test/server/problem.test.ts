import t from 'tap'
import { DyloraError, type ErrorCode, errors } from '../../src/errors.ts'
import { errorTypes, httpError, Problem, problemOf, STATUS } from '../../src/server/problem.ts'

t.test('gives every failure a status, a type of its own and an error_type that clients know', async (t) => {
  for (const code of Object.keys(STATUS) as ErrorCode[]) {
    const problem = problemOf(new DyloraError(code, 'what happened', { fact: 1 }), 'req-1')
    t.doesNotThrow(() => Problem.parse(problem), code)
    t.equal(problem.type, `urn:dylora:problem:${code.replaceAll('_', '-')}`)
    t.equal(problem.status, STATUS[code])
    t.equal(problem.instance, 'req-1')
    t.ok(errorTypes.includes(problem.error_type))
    t.equal(problem.error, problem.detail)
  }
})

t.test('carries the facts of a failure as members, which never replace the standard ones', async (t) => {
  const problem = problemOf(errors.rankNotAllowed(99, [0, 1, 2, 'max']), 'req-1')
  t.match(problem, { status: 422, rank: 99, allowed: [0, 1, 2, 'max'], error_type: 'validation' })
  const hostile = problemOf(new DyloraError('validation', 'no', { status: 200, type: 'x', error_type: 'y' }), 'req-1')
  t.match(hostile, { status: 422, type: 'urn:dylora:problem:validation', error_type: 'validation' })
})

t.test('keeps the message of a failure of its own, and of bugs, to itself', async (t) => {
  const secret = 'tensor of /home/me/secret'
  for (const error of [errors.generation(secret), new TypeError(secret), secret, undefined, { statusCode: 422 }]) {
    const problem = problemOf(error, 'req-1')
    t.equal(problem.status, 500)
    t.notMatch(JSON.stringify(problem), /secret/)
  }
})

t.test('says why it is not ready, since that passes', async (t) => {
  t.match(problemOf(errors.notReady('The server is shutting down'), 'r'), {
    status: 503,
    detail: 'The server is shutting down',
    error_type: 'not_ready',
  })
})

t.test('keeps the status of what the HTTP layer refuses', async (t) => {
  for (const status of [400, 404, 405, 413, 415]) {
    t.match(problemOf(httpError(status, 'no'), 'r'), { status, error_type: 'validation', detail: 'no' })
  }
})
