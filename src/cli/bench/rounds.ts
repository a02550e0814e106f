/** Cases that are measured in turn, so that all see the same machine: what drifts in it drifts for all. */

export interface Case<T> {
  readonly what: T
  /** Samples, such as milliseconds. */
  readonly measure: () => Promise<readonly number[]>
}

/** Every round runs each case once; the first is the warm-up and is left out. Gives the samples of each case. */
export async function inRounds<T>(count: number, cases: readonly Case<T>[]): Promise<{ what: T; samples: number[] }[]> {
  const measured = cases.map(({ what }) => ({ what, samples: [] as number[] }))
  for (let round = 0; round <= count; round++) {
    for (const [i, { measure }] of cases.entries()) {
      const samples = await measure()
      if (round > 0) measured[i]?.samples.push(...samples)
    }
  }
  return measured
}
