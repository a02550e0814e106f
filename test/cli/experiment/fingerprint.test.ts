/** What lets an earlier training or measurement be kept. */
import t from 'tap'
import {
  measuredFingerprint,
  sameMeasured,
  sameTraining,
  trainingFingerprint,
} from '../../../src/cli/experiment/fingerprint.ts'
import { TrainingSettings } from '../../../src/training/settings.ts'

const digests = { data: 'sha256:1', base: 'sha256:2' }
const settings = TrainingSettings.parse({ steps: 5, seed: 3 })
const training = trainingFingerprint(settings, digests)

t.test('the same settings and files are the same, anything else is not', async (t) => {
  t.ok(sameTraining(training, trainingFingerprint({ ...settings }, { ...digests })))
  t.notOk(sameTraining(training, trainingFingerprint({ ...settings, seed: 4 }, digests)))
  t.notOk(sameTraining(training, trainingFingerprint(settings, { ...digests, base: 'sha256:3' })))
  t.ok(sameMeasured(measuredFingerprint(training, { limit: 1 }), measuredFingerprint(training, { limit: 1 })))
  t.notOk(sameMeasured(measuredFingerprint(training, { limit: 1 }), measuredFingerprint(training, { limit: 2 })))
})

t.test('settings that a training of an earlier version does not have count as their defaults', async (t) => {
  const { dropout: _, ...fewer } = settings
  const earlier = trainingFingerprint(fewer, digests)
  t.ok(sameTraining(earlier, training))
  t.ok(sameMeasured(measuredFingerprint(earlier, { limit: 1 }), measuredFingerprint(training, { limit: 1 })))
  const dropped = trainingFingerprint({ ...settings, dropout: 0.5 }, digests)
  t.notOk(sameTraining(earlier, dropped))
  t.notOk(sameMeasured(measuredFingerprint(earlier, {}), measuredFingerprint(dropped, {})))
})

t.test('settings that no longer exist are others', async (t) => {
  t.notOk(sameTraining(trainingFingerprint({ ...settings, gone: 1 }, digests), training))
})
