/** What is refused before it waits. */
import t from 'tap'
import { expectSlots } from '../../src/inference/admission.ts'
import { greedySampling, paperDecoding } from '../../src/inference/request.ts'
import { request } from '../fixtures/engine.ts'

const sampling = { ...greedySampling, temperature: 1 }

t.test('a request may take every slot that there is', async (t) => {
  const limits = { maxBatchSize: 10, copiesSlots: true }
  t.doesNotThrow(() => expectSlots(request('a', paperDecoding), limits))
  t.doesNotThrow(() => expectSlots(request('a', { bestOf: 10, sampling }), limits))
  t.throws(() => expectSlots(request('a', { bestOf: 11, sampling }), limits), {
    code: 'validation',
    facts: { pointer: '/parameters/best_of', best_of: 11 },
  })
})

t.test('where slots cannot be copied one text is decoded, and more are refused', async (t) => {
  const limits = { maxBatchSize: 10, copiesSlots: false }
  t.doesNotThrow(() => expectSlots(request('a'), limits))
  t.throws(() => expectSlots(request('a', paperDecoding), limits), {
    code: 'validation',
    message: /num_beams is not implemented on this device/,
  })
  t.throws(() => expectSlots(request('a', { bestOf: 2, sampling }), limits), {
    message: /best_of is not implemented on this device/,
  })
})
