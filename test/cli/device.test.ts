import t from 'tap'
import { onDevice, tryDevice } from '../../src/cli/device.ts'
import { errors } from '../../src/errors.ts'

const noCuda = async (device: 'cpu' | 'cuda') => {
  if (device === 'cuda') throw errors.deviceUnavailable('cuda', 'there is no driver')
  return device
}

t.test('auto takes CUDA where it works', async (t) => {
  t.match(await onDevice('auto', async (device) => device), {
    made: 'cuda',
    choice: { kind: 'cuda', reason: /CUDA is there/ },
  })
})

t.test('auto takes the CPU where CUDA does not work, and knows why', async (t) => {
  const { made, choice } = await onDevice('auto', noCuda)
  t.equal(made, 'cpu')
  t.match(choice, { kind: 'cpu', reason: /not there/, failure: { code: 'device_unavailable' } })
})

t.test('cuda is an error where it does not work, and cpu never tries it', async (t) => {
  await t.rejects(onDevice('cuda', noCuda), { code: 'device_unavailable', message: /no driver/ })
  t.match(await onDevice('cpu', noCuda), { made: 'cpu', choice: { kind: 'cpu', failure: null } })
})

t.test('a base model that does not load is an error on every device', async (t) => {
  const broken = async () => {
    throw errors.baseModelInvalid('/base', 'it is cut off')
  }
  await t.rejects(onDevice('auto', broken), { code: 'base_model_invalid' })
})

t.test('a device counts once something has run on it', async (t) => {
  t.equal(await tryDevice('cpu', 0), 'cpu')
  // No machine has so many.
  await t.rejects(tryDevice('cuda', 255), { code: 'device_unavailable', message: /^Device 'cuda/ })
})
