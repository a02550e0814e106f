/** Which device serves or trains: what was asked for, or what is really there. */
import { errors, hasCode } from '../errors.ts'
import { input } from '../onnx/graph.ts'
import { serializeModel } from '../onnx/model.ts'
import { Session } from '../onnx/session.ts'

export interface DeviceChoice {
  readonly kind: 'cpu' | 'cuda'
  readonly reason: string
  /** What kept CUDA from being taken, for the log. */
  readonly failure: unknown
}

/**
 * Makes something on the wanted device. `auto` tries CUDA, by doing the real thing there, and takes the CPU where that
 * fails; `cuda` fails where CUDA is not there.
 */
export async function onDevice<T>(
  wanted: 'auto' | 'cpu' | 'cuda',
  make: (device: 'cpu' | 'cuda') => Promise<T>,
): Promise<{ made: T; choice: DeviceChoice }> {
  const chosen = (kind: 'cpu' | 'cuda', reason: string, failure: unknown = null) => ({ kind, reason, failure })
  if (wanted !== 'auto') return { made: await make(wanted), choice: chosen(wanted, `DEVICE is ${wanted}`) }
  try {
    return { made: await make('cuda'), choice: chosen('cuda', 'DEVICE is auto, and CUDA is there') }
  } catch (error) {
    return { made: await make('cpu'), choice: chosen('cpu', 'DEVICE is auto, and CUDA is not there', error) }
  }
}

/**
 * Gives the provider back once something has really run there.
 * @throws device_unavailable
 */
export async function tryDevice(provider: 'cpu' | 'cuda', deviceId: number): Promise<'cpu' | 'cuda'> {
  if (provider === 'cpu') return provider
  const x = input('x', 'float32', [1])
  try {
    const session = await Session.create(serializeModel({ y: x.add(x) }), { provider, deviceId })
    await session.run({ x: { dtype: 'float32', shape: [1], data: new Float32Array(1) } })
    await session.close()
  } catch (error) {
    if (hasCode(error, 'device_unavailable')) throw error
    throw errors.deviceUnavailable(`${provider} ${deviceId}`, error instanceof Error ? error.message : String(error))
  }
  return provider
}
