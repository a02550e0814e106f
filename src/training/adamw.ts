/** AdamW (Loshchilov and Hutter 2019) with state for each row, so that a row that was not used does not move, decay or age. */

export interface AdamWSettings {
  readonly beta1: number
  readonly beta2: number
  readonly epsilon: number
  readonly weightDecay: number
}

/** A parameter and its state; a row is the unit that is used or not (a rank of a factor, or a whole weight). */
export interface Parameter {
  readonly name: string
  readonly data: Float32Array
  readonly rowLength: number
  readonly m: Float32Array
  readonly v: Float32Array
  /** Updates that each row has had. */
  readonly steps: Int32Array
  /** What the learning rate is multiplied by, for each row. */
  readonly rowRates: Float64Array
  /** Biases and norms do not decay. */
  readonly decays: boolean
}

export function parameter(name: string, data: Float32Array, rowLength: number, decays: boolean): Parameter {
  const rows = data.length / rowLength
  if (!Number.isInteger(rows))
    throw new RangeError(`expected ${name} in rows of ${rowLength}, got ${data.length} values`)
  return {
    name,
    data,
    rowLength,
    decays,
    m: new Float32Array(data.length),
    v: new Float32Array(data.length),
    steps: new Int32Array(rows),
    rowRates: new Float64Array(rows).fill(1),
  }
}

/** Moves rows [first, end) against their gradient; `gradient` holds rows 0.. of the parameter, scaled by `gradientScale`. */
export function adamW(
  parameter: Parameter,
  gradient: Float32Array,
  [first, end]: readonly [number, number],
  learningRate: number,
  gradientScale: number,
  settings: AdamWSettings,
): void {
  for (let row = first; row < end; row++) {
    const step = (parameter.steps[row] as number) + 1
    parameter.steps[row] = step
    updateRow(
      parameter,
      gradient,
      row,
      step,
      learningRate * (parameter.rowRates[row] as number),
      gradientScale,
      settings,
    )
  }
}

function updateRow(
  { data, m, v, rowLength, decays }: Parameter,
  gradient: Float32Array,
  row: number,
  step: number,
  learningRate: number,
  gradientScale: number,
  { beta1, beta2, epsilon, weightDecay }: AdamWSettings,
): void {
  const stepSize = learningRate / (1 - beta1 ** step)
  const correction = 1 / Math.sqrt(1 - beta2 ** step)
  const keep = 1 - (decays ? learningRate * weightDecay : 0)
  const end = (row + 1) * rowLength
  for (let i = row * rowLength; i < end; i++) {
    const g = (gradient[i] as number) * gradientScale
    const mNext = beta1 * (m[i] as number) + (1 - beta1) * g
    const vNext = beta2 * (v[i] as number) + (1 - beta2) * g * g
    m[i] = mNext
    v[i] = vNext
    data[i] = (data[i] as number) * keep - (stepSize * mNext) / (Math.sqrt(vNext) * correction + epsilon)
  }
}

/** The sum of squares of rows [first, end). */
export function sumOfSquares(
  gradient: Float32Array,
  rowLength: number,
  [first, end]: readonly [number, number],
): number {
  let sum = 0
  for (let i = first * rowLength; i < end * rowLength; i++) sum += (gradient[i] as number) ** 2
  return sum
}
