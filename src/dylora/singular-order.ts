/** The singular value decomposition of a low-rank product, without ever forming it: which ranks matter most. */
import type { LoraFactors } from './adapter.ts'

/**
 * Factors of the same product whose rank k is its k-th singular triplet, each side scaled by the root of the singular
 * value: the first b ranks are the best approximation of rank b (Eckart and Young 1936). With QR of both factors,
 * (BA) = Q_B (R_B R_Aᵀ) Q_Aᵀ, only an r x r matrix is decomposed.
 */
export function inSingularOrder({ inFeatures, outFeatures, loraA, loraB }: LoraFactors): LoraFactors {
  const [a, b] = [orthogonalized(rowsOf(loraA, inFeatures)), orthogonalized(rowsOf(loraB, outFeatures))]
  const rank = a.basis.length
  // Column j of the core is what B's basis makes of A's basis vector j.
  const core = a.upper.map((coefficients) => combined(columnsOf(b.upper), coefficients))
  const { left, values, right } = singularValues(core)
  const rows = (basis: readonly Float64Array[], vectors: readonly Float64Array[], width: number) => {
    const all = new Float32Array(rank * width)
    for (const [k, vector] of vectors.entries()) {
      const scale = Math.sqrt(values[k] as number)
      all.set(
        combined(basis, vector).map((value) => scale * value),
        k * width,
      )
    }
    return all
  }
  return { inFeatures, outFeatures, loraA: rows(a.basis, right, inFeatures), loraB: rows(b.basis, left, outFeatures) }
}

const rowsOf = (values: Float32Array, width: number): Float64Array[] =>
  Array.from({ length: values.length / width }, (_, row) =>
    Float64Array.from(values.subarray(row * width, (row + 1) * width)),
  )

const columnsOf = (rows: readonly Float64Array[]): Float64Array[] =>
  rows.map((_, column) => Float64Array.from(rows, (row) => row[column] as number))

const dot = (x: Float64Array, y: Float64Array): number => x.reduce((sum, value, i) => sum + value * (y[i] as number), 0)

/** Σ coefficients[i] · vectors[i]. */
function combined(vectors: readonly Float64Array[], coefficients: Float64Array): Float64Array {
  const sum = new Float64Array(vectors[0]?.length ?? 0)
  for (const [i, vector] of vectors.entries()) {
    const coefficient = coefficients[i] as number
    for (let j = 0; j < sum.length; j++) sum[j] = (sum[j] as number) + coefficient * (vector[j] as number)
  }
  return sum
}

interface Orthogonalized {
  /** Orthonormal; a vector of zeros where the rank falls short. */
  readonly basis: readonly Float64Array[]
  /** vectors[j] = Σ upper[i][j] · basis[i]. */
  readonly upper: readonly Float64Array[]
}

/** Gram and Schmidt, twice, which is orthogonal to the last digit (Giraud et al. 2005). */
function orthogonalized(vectors: readonly Float64Array[]): Orthogonalized {
  const basis: Float64Array[] = []
  const upper = vectors.map(() => new Float64Array(vectors.length))
  for (const [j, vector] of vectors.entries()) {
    const rest = vector.slice()
    for (let pass = 0; pass < 2; pass++) {
      for (const [i, direction] of basis.entries()) {
        const share = dot(rest, direction)
        subtract(rest, direction, share)
        ;(upper[i] as Float64Array)[j] = ((upper[i] as Float64Array)[j] as number) + share
      }
    }
    const norm = Math.sqrt(dot(rest, rest))
    const isNew = norm > 1e-12 * Math.sqrt(dot(vector, vector))
    ;(upper[j] as Float64Array)[j] = isNew ? norm : 0
    basis.push(rest.map((value) => (isNew ? value / norm : 0)))
  }
  return { basis, upper }
}

function subtract(from: Float64Array, direction: Float64Array, share: number): void {
  for (let i = 0; i < from.length; i++) from[i] = (from[i] as number) - share * (direction[i] as number)
}

interface Decomposition {
  readonly left: readonly Float64Array[]
  /** Descending. */
  readonly values: readonly number[]
  readonly right: readonly Float64Array[]
}

const sweeps = 60
const precision = 1e-14

/** One-sided Jacobi (Hestenes 1958): rotates pairs of columns until all are orthogonal; their norms are the values. */
function singularValues(matrix: readonly Float64Array[]): Decomposition {
  const columns = matrix.map((column) => column.slice())
  const rotations = columns.map((_, i) => new Float64Array(columns.length).fill(0).fill(1, i, i + 1))
  for (let sweep = 0; sweep < sweeps; sweep++) {
    let rotated = false
    for (let p = 0; p < columns.length; p++) {
      for (let q = p + 1; q < columns.length; q++) rotated = orthogonalizePair(columns, rotations, p, q) || rotated
    }
    if (!rotated) break
  }
  const norms = columns.map((column) => Math.sqrt(dot(column, column)))
  const order = [...norms.keys()].sort((i, j) => (norms[j] as number) - (norms[i] as number))
  return {
    values: order.map((i) => norms[i] as number),
    left: order.map((i) => (columns[i] as Float64Array).map((value) => (norms[i] === 0 ? 0 : value / norms[i]!))),
    right: order.map((i) => rotations[i] as Float64Array),
  }
}

/** Is a rotation needed? Then it is done, on the columns and on what keeps track of it. */
function orthogonalizePair(columns: Float64Array[], rotations: Float64Array[], p: number, q: number): boolean {
  const [x, y] = [columns[p] as Float64Array, columns[q] as Float64Array]
  const [alpha, beta, gamma] = [dot(x, x), dot(y, y), dot(x, y)]
  if (Math.abs(gamma) <= precision * Math.sqrt(alpha * beta)) return false
  const zeta = (beta - alpha) / (2 * gamma)
  const tangent = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta))
  const cosine = 1 / Math.sqrt(1 + tangent * tangent)
  rotate(x, y, cosine, cosine * tangent)
  rotate(rotations[p] as Float64Array, rotations[q] as Float64Array, cosine, cosine * tangent)
  return true
}

function rotate(x: Float64Array, y: Float64Array, cosine: number, sine: number): void {
  for (let i = 0; i < x.length; i++) {
    const [xi, yi] = [x[i] as number, y[i] as number]
    x[i] = cosine * xi - sine * yi
    y[i] = sine * xi + cosine * yi
  }
}
