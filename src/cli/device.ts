/** Which device serves: what was asked for, or what is really there. */

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
