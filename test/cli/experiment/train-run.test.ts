/** What a training cost, read from its log. */
import t from 'tap'
import { costOf } from '../../../src/cli/experiment/train-run.ts'

const training = '{"event":"training","method":"lora","steps":40}'

/** A line of the log: `since` steps in this process, at two tokens, ten FLOPs and half a second each. */
const step = (at: number, since = at): string =>
  JSON.stringify({
    ...{ event: 'step', step: at, steps: 40, loss: 1 },
    since_start: { steps: since, tokens: 2 * since, flops: 10 * since, seconds: since / 2, processor_seconds: since },
  })

const whole = { steps: 40, tokens: 80, flops: 400, seconds: 20, processorSeconds: 40 }

t.test('an unbroken training cost what its last line says', async (t) => {
  t.same(costOf([training, step(10), step(20), step(40), '{"event":"written"}', ''].join('\n')), whole)
})

t.test('what a killed training did twice counts once', async (t) => {
  const log = [
    training,
    step(10),
    step(30),
    'Killed',
    training,
    '{"event":"resumed","step":20}',
    step(30, 10),
    step(40, 20),
  ]
  t.same(costOf(log.join('\n')), whole)
})

t.test('a process that was killed before its first line cost nothing', async (t) => {
  t.same(costOf([training, training, step(40), ''].join('\n')), whole)
})

t.test('a log without a step is no log of a training', async (t) => {
  t.throws(() => costOf(training), RangeError)
})
