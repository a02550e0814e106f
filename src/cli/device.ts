/** Which device serves: what was asked for, or what is really there. */

export interface DeviceChoice {
  readonly kind: 'cpu' | 'cuda'
  readonly reason: string
}

/**
 * Makes something on the wanted device. `auto` tries CUDA, by doing the real thing there, and takes the CPU where that
 * fails; `cuda` fails where CUDA is not there.
 */
export async function onDevice<T>(
  wanted: 'auto' | 'cpu' | 'cuda',
  make: (device: 'cpu' | 'cuda') => Promise<T>,
): Promise<{ made: T; choice: DeviceChoice }> {
  if (wanted !== 'auto') return { made: await make(wanted), choice: { kind: wanted, reason: `DEVICE is ${wanted}` } }
  try {
    return { made: await make('cuda'), choice: { kind: 'cuda', reason: 'DEVICE is auto, and CUDA is there' } }
  } catch (error) {
    const reason = `DEVICE is auto, and CUDA could not be taken: ${error instanceof Error ? error.message : String(error)}`
    return { made: await make('cpu'), choice: { kind: 'cpu', reason } }
  }
}
